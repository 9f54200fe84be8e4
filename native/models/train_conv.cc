#include "models/train_conv.h"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "linalg/winograd.h"
#include "models/packed_conv.h"

namespace mode_ensemble {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// Weights move with each step, so they are transformed each time. The bias [out] may be undefined.
at::Tensor filter(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  const auto x = input.contiguous(kChannelsLast);
  const auto plain = weight.contiguous(at::MemoryFormat::Contiguous);
  const int64_t out = weight.size(0);
  const auto shift = bias.defined() ? bias.contiguous() : at::zeros({out}, weight.options());
  return filtered(Winograd(plain.const_data_ptr<float>(), weight.size(1), out), x, shift, {}, x.size(2),
                  x.size(3));
}

struct TrainConv : torch::autograd::Function<TrainConv> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    return filter(x, weight, bias.value_or(at::Tensor()));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const bool has_bias = context->saved_data["bias"].toBool();
    const auto g = gradients[0].contiguous(kChannelsLast);
    at::Tensor of_x;
    // Turned by half a turn, inputs and outputs exchanged.
    if (context->needs_input_grad(0)) of_x = filter(g, weight.flip({2, 3}).transpose(0, 1), {});
    const std::array<int64_t, 2> one{1, 1}, none{0, 0};
    const std::array<int64_t, 1> outputs{weight.size(0)};
    const auto sizes = has_bias ? at::OptionalIntArrayRef(outputs) : at::OptionalIntArrayRef();
    const auto of_both = at::convolution_backward(g, x, weight, sizes, one, one, one, /*transposed=*/false,
                                                  none, 1, {false, true, has_bias});
    return {of_x, std::get<1>(of_both), std::get<2>(of_both)};
  }
};

}  // namespace

// In bfloat16 the processor multiplies twice as fast, and with the weight's gradient left to LibTorch the
// filtering is then the slower way.
bool suits_train_conv(const at::Tensor& x, const at::Tensor& weight) {
  return weight.requires_grad() && weight.size(2) == 3 && weight.size(3) == 3 && x.is_cpu() &&
         x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         !at::autocast::is_autocast_enabled(at::kCPU) && Winograd::serves(weight.size(1), weight.size(0)) &&
         Winograd::serves(weight.size(0), weight.size(1));
}

at::Tensor train_conv(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return TrainConv::apply(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

}  // namespace mode_ensemble
