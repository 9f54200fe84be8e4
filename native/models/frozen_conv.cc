#include "models/frozen_conv.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include "linalg/winograd.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// LibTorch's operations for inference (aten/src/ATen/native/mkldnn/Conv.cpp), which have no C++ names. Absent
// where LibTorch was built without oneDNN.
using Numbers = c10::List<std::optional<at::Scalar>>;  // arguments of what follows; ReLU has none
using Reorder = at::Tensor(const at::Tensor&, at::IntArrayRef padding, at::IntArrayRef stride,
                           at::IntArrayRef dilation, int64_t groups, at::OptionalIntArrayRef input);
using Pointwise = at::Tensor(const at::Tensor& x, const at::Tensor& weight,
                             const std::optional<at::Tensor>& bias, at::IntArrayRef padding,
                             at::IntArrayRef stride, at::IntArrayRef dilation, int64_t groups,
                             std::string_view then, Numbers numbers,
                             std::optional<std::string_view> algorithm);
using PointwiseBinary = at::Tensor(const at::Tensor& x, const at::Tensor& other, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, at::IntArrayRef padding,
                                   at::IntArrayRef stride, at::IntArrayRef dilation, int64_t groups,
                                   std::string_view binary, std::optional<at::Scalar> alpha,
                                   std::optional<std::string_view> unary, Numbers numbers,
                                   std::optional<std::string_view> algorithm);

template <typename Signature>
std::optional<c10::TypedOperatorHandle<Signature>> find_operation(const char* name, const char* overload) {
  const auto found = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!found) return {};
  return found->typed<Signature>();
}

struct Operations {
  std::optional<c10::TypedOperatorHandle<Reorder>> reorder =
      find_operation<Reorder>("mkldnn::_reorder_convolution_weight", "");
  std::optional<c10::TypedOperatorHandle<Pointwise>> pointwise =
      find_operation<Pointwise>("mkldnn::_convolution_pointwise", "");
  std::optional<c10::TypedOperatorHandle<PointwiseBinary>> binary =
      find_operation<PointwiseBinary>("mkldnn::_convolution_pointwise", "binary");
  bool bfloat16 = false;

  Operations() {
    const auto supports = find_operation<bool()>("mkldnn::_is_mkldnn_bf16_supported", "");
    bfloat16 = supports && supports->call();
  }
  bool serve(at::ScalarType type) const {
    return reorder && pointwise && binary && at::globalContext().userEnabledMkldnn() &&
           (type == at::kFloat || (type == at::kBFloat16 && bfloat16));
  }
};

const Operations& operations() {
  static const Operations found;
  return found;
}

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

struct FrozenStep : torch::autograd::Function<FrozenStep> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& add, const FrozenConv* conv, bool relu) {
    const auto y = conv->run(x, {add.value_or(at::Tensor()), relu});
    if (relu) context->save_for_backward({y});
    context->saved_data["conv"] = reinterpret_cast<int64_t>(conv);
    context->saved_data["input"] = x.sizes();
    context->saved_data["adds"] = add.has_value();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto* conv = reinterpret_cast<const FrozenConv*>(context->saved_data["conv"].toInt());
    auto gradient = gradients[0].contiguous(kChannelsLast);
    const auto saved = context->get_saved_variables();
    if (!saved.empty()) gradient = at::threshold_backward(gradient, saved[0], 0);
    const auto input = context->saved_data["input"].toIntVector();
    return {context->needs_input_grad(0) ? conv->input_gradient(gradient, input) : at::Tensor(),
            context->saved_data["adds"].toBool() ? gradient : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

PackedConv::PackedConv(const ConvShape& shape, at::ScalarType type)
    : type_(type),
      weight_(shape.weight),
      bias_(shape.bias),
      out_(shape.weight.size(0)),
      stride_(shape.stride),
      padding_(shape.padding) {}

PackedConv::~PackedConv() = default;

bool PackedConv::suits_winograd(const at::Tensor& x) const {
  const auto& w = weight_;
  if (w.size(2) != 3 || w.size(3) != 3 || stride_ != 1 || padding_ != 1 || !x.is_cpu()) return false;
  if (!Winograd::serves(w.size(1), out_)) return false;
  // Where oneDNN computes in bfloat16, twice as fast as in float32, only large convolutions gain whose tiles
  // hold no pixels beyond the edges.
  const bool whole = x.size(2) % kTileOut == 0 && x.size(3) % kTileOut == 0;
  return type_ == at::kFloat || !operations().bfloat16 || (whole && out_ >= 64);
}

void PackedConv::choose(const at::Tensor& x) const {
  chosen_ = true;
  if (suits_winograd(x)) {
    winograd_ =
        std::make_unique<Winograd>(weight_.contiguous().const_data_ptr<float>(), weight_.size(1), out_);
    weight_ = at::Tensor();
  } else {
    weight_ = weight_.to(type_).contiguous(kChannelsLast);
    bias_ = bias_.to(type_);
  }
}

void PackedConv::pack(const at::Tensor& x) const {
  packed_for_ = x.sizes().vec();
  const std::array<int64_t, 2> padding{padding_, padding_}, stride{stride_, stride_}, one{1, 1};
  const auto plain = weight_.is_mkldnn() ? weight_.to_dense() : weight_;
  weight_ = operations().reorder->call(plain, padding, stride, one, 1, x.sizes());
}

at::Tensor PackedConv::operator()(const at::Tensor& input, const Then& then) const {
  const auto x = input.contiguous(kChannelsLast);
  if (!chosen_) choose(x);
  if (winograd_) return by_winograd(x, then);
  if (!x.is_cpu() || !operations().serve(x.scalar_type())) {
    auto y = at::conv2d(x, weight_, bias_, stride_, padding_);
    if (then.add.defined()) y.add_(then.add);
    return then.relu ? y.relu_() : y;
  }
  if (x.sizes() != packed_for_) pack(x);
  const std::array<int64_t, 2> padding{padding_, padding_}, stride{stride_, stride_}, one{1, 1};
  if (!then.add.defined())
    return operations().pointwise->call(x, weight_, bias_, padding, stride, one, 1,
                                        then.relu ? "relu" : "none", Numbers(), "");
  return operations().binary->call(
      x, then.add.contiguous(kChannelsLast), weight_, bias_, padding, stride, one, 1, "add", 1.0,
      then.relu ? std::optional<std::string_view>("relu") : std::nullopt, Numbers(), "");
}

at::Tensor PackedConv::by_winograd(const at::Tensor& x, const Then& then) const {
  auto y = at::empty({x.size(0), out_, x.size(2), x.size(3)}, x.options().memory_format(kChannelsLast));
  at::Tensor add;
  if (then.add.defined()) add = then.add.contiguous(kChannelsLast);
  winograd_->run({x.scalar_type() == at::kBFloat16, x.const_data_ptr(), x.size(0), x.size(2), x.size(3),
                  bias_.const_data_ptr<float>(), add.defined() ? add.const_data_ptr() : nullptr, then.relu,
                  y.mutable_data_ptr()});
  return y;
}

FrozenConv::FrozenConv(const ConvShape& shape, at::ScalarType type, bool gradients)
    : type_(type), gradients_(gradients), shape_(shape), forward_(shape, type) {
  const auto& w = shape.weight;
  const int64_t kernel = w.size(2);
  if (kernel == 1 && shape.padding == 0)
    way_ = one_by_one;
  else if (shape.stride == 1)
    way_ = stride_one;
  else if (kernel == 7 && shape.stride == 2 && shape.padding == 3 && w.size(1) < 16)
    way_ = in_phases;
  if (!gradients) shape_.weight = shape_.bias = at::Tensor();
}

at::Tensor FrozenConv::operator()(const at::Tensor& input, const Then& then) const {
  const auto x = input.to(type_);
  const bool graph =
      at::GradMode::is_enabled() && (x.requires_grad() || (then.add.defined() && then.add.requires_grad()));
  if (!graph) return run(x, then);
  if (!gradients_) throw Error(ErrorCode::config, "The network was frozen without gradients.");
  const auto add = then.add.defined() ? std::optional(then.add.to(type_)) : std::nullopt;
  return FrozenStep::apply(x, add, this, then.relu);
}

at::Tensor FrozenConv::input_gradient(const at::Tensor& gradient, at::IntArrayRef input) const {
  const auto& [weight, bias, stride, padding] = shape_;
  const int64_t n = input[0], in = input[1], height = input[2], width = input[3];
  Way way = way_;
  if (way == in_phases && (height % 2 != 0 || width % 2 != 0)) way = oneDNN;
  if (way == oneDNN) {
    // Only the sizes of the input are read.
    const auto x = at::empty(input, gradient.options().memory_format(kChannelsLast));
    return std::get<0>(at::convolution_backward(gradient, x, weight.to(type_), std::nullopt, {stride, stride},
                                                {padding, padding}, {1, 1}, /*transposed=*/false, {0, 0}, 1,
                                                {true, false, false}));
  }
  if (!backward_) {
    const auto turned_weight = way == in_phases ? phases(weight) : turned(weight);
    const int64_t around = way == in_phases ? 2 : weight.size(2) - 1 - padding;
    backward_ = std::make_unique<PackedConv>(
        ConvShape{turned_weight, at::zeros({turned_weight.size(0)}, weight.options()), 1, around}, type_);
  }
  const auto back = (*backward_)(gradient, {});
  if (way == in_phases)  // one row and one column more than there are pixels to be given, before them
    return back.slice(2, 1)
        .slice(3, 1)
        .reshape({n, 2, 2, in, height / 2, width / 2})
        .permute({0, 3, 4, 1, 5, 2})
        .reshape({n, in, height, width})
        .contiguous(kChannelsLast);
  if (stride == 1) return back;
  auto spread = at::zeros(input, back.options().memory_format(kChannelsLast));
  spread.slice(2, 0, std::nullopt, stride).slice(3, 0, std::nullopt, stride).copy_(back);
  return spread;
}

}  // namespace mode_ensemble
