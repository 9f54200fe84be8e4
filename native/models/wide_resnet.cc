// Wide ResNets for 32×32 images (Zagoruyko and Komodakis, arXiv 1605.07146): keys, layout and initial weights
// (torch.nn's) of github.com/meliketoy/wide-resnet.pytorch, networks/wide_resnet.py, which the paper's
// published checkpoints come from. Every convolution has a bias.
#include <array>

#include "models/layers.h"

namespace mode_ensemble {
namespace {

struct WideBlock {
  BatchNorm bn1, bn2;
  Conv conv1, conv2, shortcut;
  bool projects = false;

  WideBlock(Builder& build, const std::string& name, int64_t in, int64_t out, int64_t stride)
      : bn1(build.batch_norm(name + ".bn1", in)) {
    conv1 = build.conv(name + ".conv1", in, out, 3, 1, 1, /*bias=*/true);
    bn2 = build.batch_norm(name + ".bn2", out);
    conv2 = build.conv(name + ".conv2", out, out, 3, stride, 1, /*bias=*/true);
    projects = stride != 1 || in != out;
    if (projects) shortcut = build.conv(name + ".shortcut.0", in, out, 1, stride, 0, /*bias=*/true);
  }
};

class WideResNet : public Network {
 public:
  WideResNet(const ArchOptions& arch, int depth, int factor, const Init& init) : dropout_(arch.dropout) {
    Builder build(init, weights_);
    conv1_ = build.conv("conv1", 3, arch.width, 3, 1, 1, /*bias=*/true);
    int64_t in = arch.width;
    for (int layer = 0; layer < 3; ++layer) {
      const int64_t out = (arch.width * factor) << layer;
      for (int block = 0; block < (depth - 4) / 6; ++block) {
        const auto name = "layer" + std::to_string(layer + 1) + "." + std::to_string(block);
        layers_[layer].emplace_back(build, name, in, out, layer > 0 && block == 0 ? 2 : 1);
        in = out;
      }
    }
    bn1_ = build.batch_norm("bn1", in, /*momentum=*/0.9);
    linear_ = build.linear("linear", in, arch.classes);
  }

  ForwardResult forward(const at::Tensor& images, bool training, const Want& want) override {
    ForwardResult result;
    auto x = conv1_(images);
    if (result.ends_with(x, want)) return result;
    for (const auto& layer : layers_) {
      for (const auto& block : layer) x = pass(block, x, training);
      if (result.ends_with(x, want)) return result;
    }
    x = bn1_(x, training, {.add = {}, .relu = true});
    if (result.ends_with(x, want)) return result;
    result.penultimate = global_average(x);
    result.logits = linear_(result.penultimate);
    return result;
  }

  // The other norms read what shortcuts and stages read too.
  void freeze(const Freeze& how) override {
    mode_ensemble::freeze(conv1_, how);
    for (auto& layer : layers_)
      for (auto& block : layer) {
        mode_ensemble::freeze(block.conv1, block.bn2, how);
        mode_ensemble::freeze(block.conv2, how);
        if (block.projects) mode_ensemble::freeze(block.shortcut, how);
      }
  }

  at::Tensor head(const at::Tensor& feature) const override {
    return linear_(feature.dim() == 4 ? global_average(feature) : feature);
  }

  at::Tensor resume(const at::Tensor& map) const override {
    return head(bn1_(map, /*training=*/false).relu_());
  }

  at::Tensor last_layer_weight() const override { return linear_.weight; }
  int penultimate_stage() const override { return 5; }

 private:
  // The shortcut reads the block's input itself, not relu(bn1(input)). In place wherever autograd allows: a
  // convolution's output is kept by nothing but the batch norm that reads it.
  at::Tensor pass(const WideBlock& block, const at::Tensor& x, bool training) {
    auto y = block.bn1(x, training, {.add = {}, .relu = true});
    if (training)
      y = block.bn2(dropout(block.conv1(y), dropout_, training), training, {.add = {}, .relu = true});
    else
      y = convolve(block.conv1, block.bn2, y, training, {.add = {}, .relu = true});
    return convolve(block.conv2, y, {.add = block.projects ? block.shortcut(x) : x, .relu = false});
  }

  double dropout_;
  Conv conv1_;
  std::array<std::vector<WideBlock>, 3> layers_;
  BatchNorm bn1_;
  Linear linear_;
};

}  // namespace

std::unique_ptr<Network> make_wide_resnet(const ArchOptions& arch, int depth, int factor, const Init& init) {
  return std::make_unique<WideResNet>(arch, depth, factor, init);
}

}  // namespace mode_ensemble
