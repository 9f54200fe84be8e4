#include "models/frozen_conv.h"

#include <torch/csrc/autograd/custom_function.h>

#include "linalg/winograd.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// The weights with which a convolution of stride 1 gives the input's gradient: turned by half a turn, inputs
// and outputs exchanged.
at::Tensor turned(const at::Tensor& weight) { return weight.flip({2, 3}).transpose(0, 1).contiguous(); }

// The gradient of the input of a 7×7 convolution of stride 2 and padding 3 is four convolutions of stride 1,
// one for each phase of the pixels: the pixel 2i + p reads the outputs i + o for o from −1 to 2, at the
// weight p + 3 − 2o. Here as one of 4×4, with outputs [row phase, column phase, channel]. oneDNN takes four
// times as long for three channels.
at::Tensor phases(const at::Tensor& weight) {
  const int64_t out = weight.size(0), in = weight.size(1);
  auto all = at::zeros({2, 2, in, out, 4, 4}, weight.options());
  for (int64_t p = 0; p < 2; ++p)
    for (int64_t q = 0; q < 2; ++q)
      for (int64_t i = 0; i < 4; ++i)
        for (int64_t j = 0; j < 4; ++j) {
          const int64_t u = p + 5 - 2 * i, v = q + 5 - 2 * j;
          if (u < 0 || v < 0 || u > 6 || v > 6) continue;
          all[p][q].select(3, j).select(2, i).copy_(weight.select(3, v).select(2, u).t());
        }
  return all.reshape({4 * in, out, 4, 4});
}

bool wants_graph(const at::Tensor& x) {
  return at::GradMode::is_enabled() && x.defined() && x.requires_grad();
}

// Of nodes, whose saved data knows numbers alone; networks outlive their graphs.
int64_t number_of(const FrozenConv* conv) { return reinterpret_cast<int64_t>(conv); }
const FrozenConv* conv_of(int64_t number) { return reinterpret_cast<const FrozenConv*>(number); }

// The maps behind each convolution of a block, the block's own output last and at `into`, to `keep`. x is a
// copy, as `keep` may move what the caller holds.
template <class Keep>
at::Tensor run_block(const FrozenResidual& block, const at::Tensor x, const at::Tensor& into,
                     const Keep& keep) {
  auto y = x;
  for (const auto* conv : block.convs) {
    Then then{{}, true};
    if (conv == block.convs.back()) {
      then.add = block.past ? block.past->run(x, {}) : x;
      then.into = into;
    }
    y = conv->run(y, then);
    keep(y);
  }
  return y;
}

template <class Keep>
at::Tensor run_blocks(const std::vector<FrozenResidual>& blocks, at::Tensor x, const at::Tensor& into,
                      const Keep& keep) {
  for (const auto& block : blocks)
    x = run_block(block, x, &block == &blocks.back() ? into : at::Tensor(), keep);
  return x;
}

// How many of the maps x go through blocks together: so few that the next convolution finds them in the
// cache, and in parts of about the same size. Bottlenecks gain nothing, as their last convolution, oneDNN's,
// cannot write to its part of the output.
int64_t images_together(const std::vector<FrozenResidual>& blocks, const at::Tensor& x) {
  constexpr int64_t kBytes = int64_t{4} << 20;
  const int64_t count = x.size(0);
  if (count == 0 || !x.is_cpu() || !blocks.back().convs.back()->is_filter()) return count;
  const int64_t fitting = std::max<int64_t>(1, kBytes * count / static_cast<int64_t>(x.nbytes()));
  const int64_t parts = (count + fitting - 1) / fitting;
  return (count + parts - 1) / parts;
}

// What work(first, size, into) gives for `together` of `count` images at a time, one after the other. `into`
// is where it should be, undefined where it does not matter.
template <class Work>
at::Tensor in_parts(int64_t count, int64_t together, const Work& work) {
  if (together >= count) return work(int64_t{0}, count, at::Tensor());
  at::Tensor all;
  for (int64_t first = 0; first < count; first += together) {
    const int64_t size = std::min(together, count - first);
    const auto part = work(first, size, all.defined() ? all.narrow(0, first, size) : at::Tensor());
    if (all.defined()) continue;
    auto sizes = part.sizes().vec();
    sizes[0] = count;
    all = at::empty(sizes, part.options().memory_format(kChannelsLast));
    all.narrow(0, first, size).copy_(part);
  }
  return all;
}

struct FrozenBlocks : torch::autograd::Function<FrozenBlocks> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const std::vector<FrozenResidual>& blocks) {
    torch::autograd::variable_list maps{x};
    run_blocks(blocks, x, {}, [&](const at::Tensor& map) { maps.push_back(map); });
    // Of each block: how many convolutions, they themselves, and what leads past them.
    std::vector<int64_t> numbers;
    for (const auto& block : blocks) {
      numbers.push_back(static_cast<int64_t>(block.convs.size()));
      for (const auto* conv : block.convs) numbers.push_back(number_of(conv));
      numbers.push_back(number_of(block.past));
    }
    context->save_for_backward(maps);
    context->saved_data["blocks"] = numbers;
    return maps.back();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto maps = context->get_saved_variables();
    const auto numbers = context->saved_data["blocks"].toIntVector();
    std::vector<FrozenResidual> blocks;
    for (size_t i = 0; i < numbers.size();) {
      auto& block = blocks.emplace_back();
      for (auto left = numbers[i++]; left > 0; --left) block.convs.push_back(conv_of(numbers[i++]));
      block.past = conv_of(numbers[i++]);
    }
    size_t at = maps.size() - 1;  // of the map whose gradient is at hand
    // An average's gradient has no memory of its own for each pixel.
    auto gradient = at::threshold_backward(gradients[0], maps[at], 0).contiguous(kChannelsLast);
    for (size_t b = blocks.size(); b-- > 0;) {
      const auto& [convs, past] = blocks[b];
      const auto& input = maps[at - convs.size()];
      const auto of_block = gradient;
      for (size_t i = convs.size(); i-- > 0;) {
        Then then;
        if (i == 0 && past && past->reads_every_second())
          then.add_even = past->gradient_of_every_second(of_block);
        else if (i == 0)
          then.add = past ? past->input_gradient(of_block, input.sizes()) : of_block;
        // The first map came from elsewhere, from a ReLU or not.
        if (--at > 0) then.mask = maps[at];
        gradient = convs[i]->input_gradient(gradient, maps[at].sizes(), then);
      }
    }
    return {gradient, at::Tensor()};
  }
};

struct FrozenStep : torch::autograd::Function<FrozenStep> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& add, const FrozenConv* conv, bool relu) {
    const auto y = conv->run(x, {add.value_or(at::Tensor()), relu});
    if (relu) context->save_for_backward({y});
    context->saved_data["conv"] = number_of(conv);
    context->saved_data["input"] = x.sizes();
    context->saved_data["adds"] = add.has_value();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto* conv = conv_of(context->saved_data["conv"].toInt());
    auto gradient = gradients[0].contiguous(kChannelsLast);
    const auto saved = context->get_saved_variables();
    if (!saved.empty()) gradient = at::threshold_backward(gradient, saved[0], 0);
    const auto input = context->saved_data["input"].toIntVector();
    return {context->needs_input_grad(0) ? conv->input_gradient(gradient, input) : at::Tensor(),
            context->saved_data["adds"].toBool() ? gradient : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

FrozenConv::FrozenConv(const ConvShape& shape, at::ScalarType type, bool gradients)
    : type_(type),
      gradients_(gradients),
      shape_(shape),
      kernel_(shape.weight.size(2)),
      forward_(shape, type) {
  const auto& w = shape.weight;
  if (kernel_ == 1 && shape.padding == 0)
    way_ = one_by_one;
  else if (shape.stride == 1)
    way_ = stride_one;
  else if (kernel_ == 3 && shape.stride == 2 && shape.padding == 1)
    way_ = stride_two;
  else if (kernel_ == 7 && shape.stride == 2 && shape.padding == 3 && w.size(1) < 16)
    way_ = in_phases;
  if (!gradients) shape_.weight = shape_.bias = at::Tensor();
}

FrozenConv::~FrozenConv() = default;

at::Tensor FrozenConv::operator()(const at::Tensor& input, const Then& then) const {
  const auto x = input.to(type_);
  // A map without its rank-1 part comes in float32, and what is added to its convolution with it.
  const auto add = then.add.defined() ? then.add.to(type_) : at::Tensor();
  if (!wants_graph(x) && !wants_graph(add)) return run(x, {add, then.relu});
  return FrozenStep::apply(x, add.defined() ? std::optional(add) : std::nullopt, this, then.relu);
}

bool FrozenConv::redoubles(const at::Tensor& gradient) const {
  const auto& w = shape_.weight;
  return way_ == stride_two && gradient.is_cpu() &&
         suits_strided_filter(type_, w.size(0), w.size(1), gradient.size(2), gradient.size(3));
}

const PackedConv& FrozenConv::backward() const {
  if (!backward_) {
    const auto& [weight, bias, stride, padding] = shape_;
    const auto back = way_ == in_phases ? phases(weight) : turned(weight);
    const int64_t around = way_ == in_phases ? 2 : weight.size(2) - 1 - padding;
    backward_ = std::make_unique<PackedConv>(
        ConvShape{back, at::zeros({back.size(0)}, weight.options()), 1, around}, type_);
  }
  return *backward_;
}

at::Tensor FrozenConv::input_gradient(const at::Tensor& gradient, at::IntArrayRef input,
                                      const Then& then) const {
  if (!gradients_) throw Error(ErrorCode::config, "The network was frozen without gradients.");
  const auto& [weight, bias, stride, padding] = shape_;
  const int64_t in = input[1], height = input[2], width = input[3];
  if (redoubles(gradient)) {
    if (!redoubling_)
      redoubling_ = std::make_unique<Winograd>(weight.transpose(0, 1).contiguous().const_data_ptr<float>(),
                                               weight.size(0), in, Sides::redouble);
    return filtered(*redoubling_, gradient, at::zeros({in}, weight.options()), then, height, width);
  }
  if (way_ == one_by_one || way_ == stride_one) {
    if (stride == 1 && !then.add_even.defined())
      return backward()(gradient, {then.add, false, then.mask, {}, then.into});
    if (stride == 1) return finished(backward()(gradient, {then.add}), then);
    auto all = at::empty(input, gradient.options().memory_format(kChannelsLast));
    if (then.add.defined())
      all.copy_(then.add);
    else
      all.zero_();
    all.slice(2, 0, std::nullopt, stride).slice(3, 0, std::nullopt, stride).add_(backward()(gradient, {}));
    return finished(all, then);
  }
  if (way_ == in_phases && height % 2 == 0 && width % 2 == 0) {
    auto all = at::empty(input, gradient.options().memory_format(kChannelsLast));
    // One row and one column more than there are pixels to be given, before them.
    const auto given = backward()(gradient, {}).slice(2, 1).slice(3, 1);
    for (int64_t phase = 0; phase < 4; ++phase)
      all.slice(2, phase / 2, std::nullopt, 2)
          .slice(3, phase % 2, std::nullopt, 2)
          .copy_(given.narrow(1, phase * in, in));
    return finished(then.add.defined() ? all.add_(then.add) : all, then);
  }
  // Only the sizes of the input are read.
  const auto x = at::empty(input, gradient.options().memory_format(kChannelsLast));
  auto back = std::get<0>(at::convolution_backward(gradient, x, weight.to(type_), std::nullopt,
                                                   {stride, stride}, {padding, padding}, {1, 1},
                                                   /*transposed=*/false, {0, 0}, 1, {true, false, false}));
  return finished(then.add.defined() ? back.add_(then.add) : back, then);
}

at::Tensor frozen_residuals(const at::Tensor& x, const std::vector<FrozenResidual>& blocks) {
  auto y = x.to(blocks.front().convs.front()->type());
  if (wants_graph(y)) return FrozenBlocks::apply(y, blocks);
  return in_parts(y.size(0), images_together(blocks, y),
                  [&](int64_t first, int64_t size, const at::Tensor& into) {
                    return run_blocks(blocks, y.narrow(0, first, size), into, [](const at::Tensor&) {});
                  });
}

}  // namespace mode_ensemble
