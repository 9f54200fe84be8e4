#include "models/layers.h"

#include <cmath>

#include "models/train_conv.h"
#include "models/train_norm.h"

namespace mode_ensemble {
namespace {

// torch.nn.init.kaiming_uniform_(w, a = sqrt(5)), in the same float64 steps as Python.
double kaiming_bound(int64_t fan_in) {
  const double a = std::sqrt(5.0);
  const double gain = std::sqrt(2.0 / (1.0 + a * a));
  const double std = gain / std::sqrt(static_cast<double>(fan_in));
  return std::sqrt(3.0) * std;
}

// Of NormMomentum; below 0 where there is none.
thread_local double momentum_of_all = -1;

double bias_bound(int64_t fan_in) { return fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0; }

// In place.
at::Tensor after(at::Tensor y, const Then& then) {
  if (then.add.defined()) y.add_(then.add);
  return then.relu ? y.relu_() : y;
}

}  // namespace

at::Tensor Conv::operator()(const at::Tensor& x) const {
  if (frozen) return (*frozen)(x, {});
  // oneDNN's gradient of a channels-last 1×1 convolution with a stride and fewer input channels than its
  // block (8 with AVX2, 16 with AVX-512) writes past its buffer: a corrupt heap, or wrong numbers
  // (github.com/uxlfoundation/oneDNN/issues/6035, in LibTorch 2.13). Without the stride it is right.
  if (stride > 1 && weight.size(2) == 1 && weight.size(1) < 16)
    return at::conv2d(x.slice(2, 0, std::nullopt, stride).slice(3, 0, std::nullopt, stride), weight, bias);
  if (stride == 1 && padding == 1 && suits_train_conv(x, weight)) return train_conv(x, weight, bias);
  return at::conv2d(x, weight, bias, stride, padding);
}

NormMomentum::NormMomentum(double momentum) : before_(momentum_of_all) { momentum_of_all = momentum; }

NormMomentum::~NormMomentum() { momentum_of_all = before_; }

at::Tensor BatchNorm::operator()(const at::Tensor& x, bool training, const Then& then) const {
  if (folded) return after(x, then);
  if (training) {
    c10::NoGradGuard guard;
    batches.add_(1);
  }
  const double share = momentum_of_all < 0 ? momentum : momentum_of_all;
  if (training && suits_train_norm(*this, x, then)) return train_norm(*this, x, then, share);
  return after(at::batch_norm(x, weight, bias, mean, variance, training, share, /*eps=*/1e-5,
                              /*cudnn_enabled=*/true),
               then);
}

at::Tensor convolve(const Conv& conv, const BatchNorm& norm, const at::Tensor& x, bool training,
                    const Then& then) {
  if (conv.frozen && norm.folded) return (*conv.frozen)(x, then);
  return norm(conv(x), training, then);
}

at::Tensor convolve(const Conv& conv, const at::Tensor& x, const Then& then) {
  if (conv.frozen) return (*conv.frozen)(x, then);
  return after(conv(x), then);
}

void freeze(Conv& conv, const Freeze& how) {
  const c10::NoGradGuard guard;
  const auto bias = conv.bias.defined() ? conv.bias : at::zeros({conv.weight.size(0)}, conv.weight.options());
  conv.frozen = std::make_shared<FrozenConv>(
      ConvShape{conv.weight.detach().clone(), bias.detach().clone(), conv.stride, conv.padding}, how.type,
      how.gradients);
  // set_data: the network's table holds the same tensor, which would otherwise stay in memory.
  conv.weight.set_data(at::empty({0}, conv.weight.options()));
}

void fold(Conv& conv, BatchNorm& norm) {
  const c10::NoGradGuard guard;
  const auto type = conv.weight.scalar_type();
  const auto scale = norm.weight.to(at::kDouble) / at::sqrt(norm.variance.to(at::kDouble) + 1e-5);  // [out]
  auto shift = norm.bias.to(at::kDouble) - norm.mean.to(at::kDouble) * scale;
  if (conv.bias.defined()) shift += conv.bias.to(at::kDouble) * scale;
  conv.weight.set_data((conv.weight.to(at::kDouble) * scale.view({-1, 1, 1, 1})).to(type));
  conv.bias = shift.to(type);
  norm.folded = true;
}

void freeze(Conv& conv, BatchNorm& norm, const Freeze& how) {
  fold(conv, norm);
  freeze(conv, how);
}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, weight.sizes(), weight, bias, /*eps=*/1e-5);
}

at::Tensor Linear::operator()(const at::Tensor& x) const { return at::linear(x, weight, bias); }

Builder::Builder(const Init& init, std::vector<NamedTensor>& weights)
    : init_(init), generator_(at::make_generator<at::CPUGeneratorImpl>(init.seed)), weights_(weights) {}

at::Tensor Builder::add(const std::string& name, at::Tensor tensor, bool trained) {
  weights_.push_back({name, tensor, trained});
  return tensor;
}

at::Tensor Builder::empty(at::IntArrayRef shape, at::ScalarType type) const {
  return at::empty(shape, at::TensorOptions(type).device(init_.kind == Init::shapes ? at::kMeta : at::kCPU));
}

at::Tensor Builder::full(at::IntArrayRef shape, double value) const {
  auto tensor = empty(shape);
  return draws() ? tensor.fill_(value) : tensor;
}

at::Tensor Builder::uniform(at::IntArrayRef shape, double bound) {
  auto tensor = empty(shape);
  return draws() ? tensor.uniform_(-bound, bound, generator_) : tensor;
}

Conv Builder::conv(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                   int64_t padding, bool bias) {
  const int64_t fan_in = in * kernel * kernel;
  Conv conv{add(name + ".weight", uniform({out, in, kernel, kernel}, kaiming_bound(fan_in)), true),
            {},
            stride,
            padding};
  if (bias) conv.bias = add(name + ".bias", uniform({out}, bias_bound(fan_in)), true);
  return conv;
}

BatchNorm Builder::batch_norm(const std::string& name, int64_t channels, double momentum) {
  BatchNorm norm{add(name + ".weight", full({channels}, 1), true),
                 add(name + ".bias", full({channels}, 0), true),
                 add(name + ".running_mean", full({channels}, 0), false),
                 add(name + ".running_var", full({channels}, 1), false),
                 add(name + ".num_batches_tracked", empty({}, at::kLong), false),
                 momentum};
  if (draws()) norm.batches.zero_();
  return norm;
}

LayerNorm Builder::layer_norm(const std::string& name, int64_t width) {
  return {add(name + ".weight", full({width}, 1), true), add(name + ".bias", full({width}, 0), true)};
}

Linear Builder::linear(const std::string& name, int64_t in, int64_t out, bool bias) {
  Linear linear{add(name + ".weight", uniform({out, in}, kaiming_bound(in)), true), {}};
  if (bias) linear.bias = add(name + ".bias", uniform({out}, bias_bound(in)), true);
  return linear;
}

at::Tensor Builder::tensor(const std::string& name, at::IntArrayRef shape, bool trained) {
  return add(name, full(shape, 0), trained);
}

void Builder::kaiming_normal(const at::Tensor& weight, Fan fan) {
  int64_t size = weight.size(fan == Fan::in ? 1 : 0);
  for (int64_t d = 2; d < weight.dim(); ++d) size *= weight.size(d);
  // torch.nn.init.kaiming_normal_: the gain of ReLU is sqrt(2); fan_in with Python's default leaky ReLU of
  // slope 0 is the same.
  normal(weight, 0, std::sqrt(2.0) / std::sqrt(static_cast<double>(size)));
}

void Builder::normal(const at::Tensor& weight, double mean, double std) {
  if (draws()) at::Tensor(weight).normal_(mean, std, generator_);
}

void Builder::trunc_normal(const at::Tensor& weight, double std) {
  if (!draws()) return;
  // The inverse of the normal distribution function, of uniform numbers between its values at the bounds.
  const auto cdf = [](double x) { return (1 + std::erf(x / std::sqrt(2.0))) / 2; };
  at::Tensor(weight)
      .uniform_(2 * cdf(-2 / std) - 1, 2 * cdf(2 / std) - 1, generator_)
      .erfinv_()
      .mul_(std * std::sqrt(2.0))
      .clamp_(-2, 2);
}

void Builder::orthogonal(const at::Tensor& weight, double scale) {
  if (!draws()) return;
  auto flat = at::empty(weight.sizes(), weight.options()).normal_(0, 1, generator_);
  const auto [q, r] = at::linalg_qr(flat.t());
  // The signs make Q uniformly distributed: Mezzadri 2007, arXiv math-ph/0609050.
  at::Tensor(weight).copy_((q * r.diagonal().sign()).t()).mul_(scale);
}

void Builder::zero(const at::Tensor& weight) {
  if (draws()) at::Tensor(weight).zero_();
}

}  // namespace mode_ensemble
