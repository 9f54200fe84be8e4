#include "models/residual.h"

#include <ATen/ops/constant_pad_nd.h>

#include "runtime/error.h"

namespace mode_ensemble {

ResNetDepth resnet_depth(int depth) {
  switch (depth) {
    case 18:
      return {{2, 2, 2, 2}, false};
    case 34:
      return {{3, 4, 6, 3}, false};
    case 50:
      return {{3, 4, 6, 3}, true};
    case 101:
      return {{3, 4, 23, 3}, true};
    case 152:
      return {{3, 8, 36, 3}, true};
  }
  throw Error(ErrorCode::config, "There is no ResNet of depth " + std::to_string(depth) + ".");
}

ResidualBlock::ResidualBlock(Builder& build, const std::string& name, const Shape& shape,
                             const Shortcut& shortcut)
    : stride(shape.stride) {
  const int64_t width = shape.width, out = shape.out();
  const auto add = [&](int64_t from, int64_t to, int64_t kernel, int64_t step) {
    const auto number = std::to_string(convs.size() + 1);
    convs.push_back(build.conv(name + ".conv" + number, from, to, kernel, step, kernel / 2));
    norms.push_back(build.batch_norm(name + ".bn" + number, to));
  };
  if (shape.bottleneck) {
    add(shape.in, width, 1, 1);
    add(width, width, 3, stride);
    add(width, out, 1, 1);
  } else {
    add(shape.in, width, 3, stride);
    add(width, out, 3, 1);
  }
  if (stride == 1 && shape.in == out) return;
  if (shortcut.kind == Shortcut::pad) {
    way = padding;
    added = (out - shape.in) / 2;
    return;
  }
  way = projection;
  shortcut_conv = build.conv(name + "." + shortcut.name + ".0", shape.in, out, 1, stride, 0);
  shortcut_norm = build.batch_norm(name + "." + shortcut.name + ".1", out);
}

// In place wherever autograd allows: batch norm keeps its input, ReLU its output.
at::Tensor ResidualBlock::operator()(const at::Tensor& x, bool training) const {
  auto y = x;
  for (size_t i = 0; i + 1 < convs.size(); ++i)
    y = convolve(convs[i], norms[i], y, training, {.add = {}, .relu = true});
  auto past = x;
  if (way == padding) {
    const auto every_second = x.slice(2, 0, std::nullopt, stride).slice(3, 0, std::nullopt, stride);
    past = at::constant_pad_nd(every_second, {0, 0, 0, 0, added, added});
  } else if (way == projection) {
    past = convolve(shortcut_conv, shortcut_norm, x, training, {});
  }
  return convolve(convs.back(), norms.back(), y, training, {.add = past, .relu = true});
}

std::optional<FrozenResidual> ResidualBlock::frozen() const {
  if (!convs.front().frozen || way == padding) return {};
  FrozenResidual out;
  for (const auto& conv : convs) out.convs.push_back(conv.frozen.get());
  out.past = shortcut_conv.frozen.get();
  return out;
}

void ResidualBlock::freeze(const Freeze& how) {
  for (size_t i = 0; i < convs.size(); ++i) mode_ensemble::freeze(convs[i], norms[i], how);
  if (way == projection) mode_ensemble::freeze(shortcut_conv, shortcut_norm, how);
}

void ResidualNetwork::freeze(const Freeze& how) {
  mode_ensemble::freeze(conv1_, bn1_, how);
  for (auto& layer : layers_)
    for (auto& block : layer) block.freeze(how);
}

int64_t ResidualNetwork::add_layer(Builder& build, int blocks, ResidualBlock::Shape first,
                                   const ResidualBlock::Shortcut& shortcut) {
  const auto name = "layer" + std::to_string(layers_.size() + 1) + ".";
  auto shape = first;
  shape.stride = layers_.empty() ? 1 : 2;
  auto& layer = layers_.emplace_back();
  for (int block = 0; block < blocks; ++block) {
    layer.emplace_back(build, name + std::to_string(block), shape, shortcut);
    shape.in = shape.out();
    shape.stride = 1;
  }
  return shape.out();
}

at::Tensor ResidualNetwork::through(const std::vector<ResidualBlock>& layer, const at::Tensor& x,
                                    bool training) {
  auto y = x;
  // Blocks that can go together do.
  std::vector<FrozenResidual> together;
  const auto go = [&] {
    if (!together.empty()) y = frozen_residuals(y, together);
    together.clear();
  };
  for (const auto& block : layer) {
    if (auto frozen = block.frozen()) {
      together.push_back(std::move(*frozen));
    } else {
      go();
      y = block(y, training);
    }
  }
  go();
  return y;
}

ForwardResult ResidualNetwork::forward(const at::Tensor& images, bool training, const Want& want) {
  ForwardResult result;
  auto x = convolve(conv1_, bn1_, images, training, {.add = {}, .relu = true});
  if (pools_) x = max_pool(x);
  if (result.ends_with(x, want)) return result;
  for (const auto& layer : layers_) {
    x = through(layer, x, training);
    if (result.ends_with(x, want)) return result;
  }
  result.penultimate = global_average(x);
  result.logits = linear_(result.penultimate);
  return result;
}

at::Tensor ResidualNetwork::resume(const at::Tensor& map) const {
  return head(through(layers_.back(), map, /*training=*/false));
}

at::Tensor ResidualNetwork::head(const at::Tensor& feature) const {
  return linear_(feature.dim() == 4 ? global_average(feature) : feature);
}

}  // namespace mode_ensemble
