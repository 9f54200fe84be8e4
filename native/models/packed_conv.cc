#include "models/packed_conv.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "linalg/winograd.h"

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

}  // namespace

at::Tensor finished(at::Tensor y, const Then& then) {
  if (then.add_even.defined())
    y.slice(2, 0, std::nullopt, 2).slice(3, 0, std::nullopt, 2).add_(then.add_even);
  if (then.mask.defined()) at::threshold_backward_out(y, y, then.mask, 0);
  return then.into.defined() ? at::Tensor(then.into).copy_(y) : y;
}

at::Tensor filtered(const Winograd& filter, const at::Tensor& x, const at::Tensor& bias, const Then& then,
                    int64_t height, int64_t width) {
  auto y = then.into.defined() ? then.into
                               : at::empty({x.size(0), bias.size(0), height, width},
                                           x.options().memory_format(kChannelsLast));
  at::Tensor add, mask, even;
  if (then.add.defined()) add = then.add.contiguous(kChannelsLast);
  if (then.mask.defined()) mask = then.mask.contiguous(kChannelsLast);
  if (then.add_even.defined()) even = then.add_even.contiguous(kChannelsLast);
  Winograd::Call call;
  call.half = x.scalar_type() == at::kBFloat16;
  call.images = x.const_data_ptr();
  call.count = x.size(0);
  call.height = x.size(2);
  call.width = x.size(3);
  call.out_height = height;
  call.out_width = width;
  call.bias = bias.const_data_ptr<float>();
  call.add = add.defined() ? add.const_data_ptr() : nullptr;
  call.relu = then.relu;
  call.mask = mask.defined() ? mask.const_data_ptr() : nullptr;
  call.add_even = even.defined() ? even.const_data_ptr() : nullptr;
  call.out = y.mutable_data_ptr();
  filter.run(call);
  return y;
}

bool suits_strided_filter(at::ScalarType type, int64_t in, int64_t out, int64_t height, int64_t width) {
  if (!Winograd::serves(in, out)) return false;
  // Where oneDNN computes in bfloat16, twice as fast, 81 products instead of 144 are no gain.
  if (type != at::kFloat && operations().bfloat16) return false;
  const auto whole = [](int64_t side) { return (side + kTileOut - 1) / kTileOut * kTileOut; };
  // Tiles reach beyond the edges.
  return whole(height) * whole(width) * 81 * 10 <= height * width * 144 * 8;
}

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
  if (w.size(2) != 3 || w.size(3) != 3 || stride_ > 2 || padding_ != 1 || !x.is_cpu()) return false;
  if (stride_ == 2)
    return suits_strided_filter(type_, w.size(1), out_, (x.size(2) + 1) / 2, (x.size(3) + 1) / 2);
  if (!Winograd::serves(w.size(1), out_)) return false;
  // Where oneDNN computes in bfloat16, twice as fast as in float32, only large convolutions gain whose tiles
  // hold no pixels beyond the edges.
  const bool whole = x.size(2) % kTileOut == 0 && x.size(3) % kTileOut == 0;
  return type_ == at::kFloat || !operations().bfloat16 || (whole && out_ >= 64);
}

void PackedConv::choose(const at::Tensor& x) const {
  chosen_ = true;
  if (suits_winograd(x)) {
    winograd_ = std::make_unique<Winograd>(weight_.contiguous().const_data_ptr<float>(), weight_.size(1),
                                           out_, stride_ == 2 ? Sides::halve : Sides::keep);
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
  return finished(by_library(x, then), then);
}

at::Tensor PackedConv::by_library(const at::Tensor& x, const Then& then) const {
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
  return filtered(*winograd_, x, bias_, then, (x.size(2) - 1) / stride_ + 1, (x.size(3) - 1) / stride_ + 1);
}

}  // namespace mode_ensemble
