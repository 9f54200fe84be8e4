// A dense block's part in a graph: one node, which gives the gradient of the input alone.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/dense_block.h"

namespace mode_ensemble {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

struct DenseBlockNode : torch::autograd::Function<DenseBlockNode> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const DenseBlock* block) {
    DenseBlock::Kept kept;
    const auto y = block->run(x, &kept);
    torch::autograd::variable_list saved{kept.map};
    saved.insert(saved.end(), kept.narrowed.begin(), kept.narrowed.end());
    context->save_for_backward(saved);
    // Saved data knows numbers alone; networks outlive their graphs.
    context->saved_data["block"] = reinterpret_cast<int64_t>(block);
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto* block = reinterpret_cast<const DenseBlock*>(context->saved_data["block"].toInt());
    const auto saved = context->get_saved_variables();
    return {block->input_gradient(gradients[0], {saved[0], {saved.begin() + 1, saved.end()}}), at::Tensor()};
  }
};

}  // namespace

at::Tensor DenseBlock::operator()(const at::Tensor& input) const {
  const auto x = input.to(type_).contiguous(kChannelsLast);
  if (at::GradMode::is_enabled() && x.requires_grad()) return DenseBlockNode::apply(x, this);
  return run(x, nullptr);
}

void DenseBlock::add_gradient(const Affine& norm, bool relu, const at::Tensor& of_result,
                              const at::Tensor& map, const at::Tensor& of_map) const {
  const auto given = of_result.to(type_).contiguous(kChannelsLast);
  const int64_t channels = given.size(1), pixels = given.numel() / channels;
  const auto* const from = static_cast<const char*>(map.const_data_ptr());
  const auto* const of = static_cast<const char*>(given.const_data_ptr());
  auto* const to = static_cast<char*>(of_map.mutable_data_ptr());
  at::parallel_for(0, pixels, 64, [&](int64_t begin, int64_t end) {
    kernels_->gradient({from + begin * all_ * width_, all_, end - begin, channels, norm.scale.data(),
                        norm.offset.data(), relu},
                       of + begin * channels * width_, to + begin * all_ * width_);
  });
}

at::Tensor DenseBlock::input_gradient(const at::Tensor& gradient, const Kept& kept) const {
  const auto& map = kept.map;
  const int64_t n = map.size(0), height = map.size(2), width = map.size(3);
  auto of_map = at::zeros_like(map);
  auto of_last = gradient.contiguous(kChannelsLast);
  if (conv_) {
    const auto of_averages = conv_->frozen->input_gradient(of_last, {n, all_, height / 2, width / 2});
    of_last = at::avg_pool2d_backward(of_averages, map, {2, 2}, {2, 2}, {0, 0}, /*ceil_mode=*/false,
                                      /*count_include_pad=*/true, std::nullopt);
  }
  add_gradient(last_, conv_ != nullptr, of_last, map, of_map);
  int64_t channels = all_;
  for (size_t l = layers_.size(); l-- > 0;) {
    channels -= growth_;
    const auto& narrowed = kept.narrowed[l];
    const auto grown = of_map.narrow(1, channels, growth_).contiguous(kChannelsLast);
    const auto of_narrowed =
        layers_[l].grow.frozen->input_gradient(grown, narrowed.sizes(), {.add = {}, .mask = narrowed});
    const auto of_norm = layers_[l].narrow.frozen->input_gradient(of_narrowed, {n, channels, height, width});
    add_gradient(steps_[l].narrow.norm, /*relu=*/true, of_norm, map, of_map);
  }
  return of_map.narrow(1, 0, in_).contiguous(kChannelsLast);
}

}  // namespace mode_ensemble
