// Pooling of maps: LibTorch's own writes indices of the maxima, eight bytes each, and a float32 copy of a
// bfloat16 map before it takes averages.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "linalg/instruction_set.h"
#include "linalg/pool_kernels.h"
#include "models/layers.h"

namespace mode_ensemble {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

const PoolKernels* kernels() {
  static const auto* const chosen = fastest(all_pool_kernels());
  return chosen;
}

bool suits(const at::Tensor& map) {
  return kernels() && map.is_cpu() && map.dim() == 4 && map.numel() > 0 && map.is_contiguous(kChannelsLast) &&
         map.size(1) % kPoolChannels == 0 &&
         (map.scalar_type() == at::kFloat || map.scalar_type() == at::kBFloat16);
}

PoolMap described(const at::Tensor& map) {
  return {map.const_data_ptr(), map.scalar_type() == at::kBFloat16, map.size(2), map.size(3), map.size(1)};
}

bool wants_graph(const at::Tensor& map) { return at::GradMode::is_enabled() && map.requires_grad(); }

at::Tensor average(const at::Tensor& map) {
  auto y = at::empty({map.size(0), map.size(1)}, map.options().dtype(at::kFloat));
  auto* const to = y.mutable_data_ptr<float>();
  at::parallel_for(0, map.size(0), 1,
                   [&](int64_t begin, int64_t end) { kernels()->average(described(map), begin, end, to); });
  return y;
}

// So that an average is the same bits with a graph and without.
struct AverageNode : torch::autograd::Function<AverageNode> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& map) {
    context->saved_data["sizes"] = map.sizes();
    context->saved_data["type"] = static_cast<int64_t>(map.scalar_type());
    return average(map);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
    const double share = 1.0 / static_cast<double>(sizes[2] * sizes[3]);
    const auto each = (gradients[0] * share).to(type).unsqueeze(2).unsqueeze(3);
    return {each.expand(sizes)};
  }
};

}  // namespace

at::Tensor global_average(const at::Tensor& map) {
  if (!suits(map)) return at::mean(map, {2, 3}, /*keepdim=*/false, sum_type(map));
  return wants_graph(map) ? AverageNode::apply(map) : average(map);
}

// Maxima are the same bits in any way, and LibTorch's node knows their gradient.
at::Tensor max_pool(const at::Tensor& map) {
  if (!suits(map) || wants_graph(map)) return at::max_pool2d(map, 3, 2, 1);
  const int64_t height = maxima_along(map.size(2)), width = maxima_along(map.size(3));
  auto y = at::empty({map.size(0), map.size(1), height, width}, map.options().memory_format(kChannelsLast));
  void* const to = y.mutable_data_ptr();
  at::parallel_for(0, map.size(0) * height, 8,
                   [&](int64_t begin, int64_t end) { kernels()->maximum(described(map), begin, end, to); });
  return y;
}

}  // namespace mode_ensemble
