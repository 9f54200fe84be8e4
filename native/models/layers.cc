#include "models/layers.h"

#include <cmath>

namespace mode_ensemble {
namespace {

// torch.nn.init.kaiming_uniform_(w, a = sqrt(5)), in the same float64 steps as Python.
double kaiming_bound(int64_t fan_in) {
  const double a = std::sqrt(5.0);
  const double gain = std::sqrt(2.0 / (1.0 + a * a));
  const double std = gain / std::sqrt(static_cast<double>(fan_in));
  return std::sqrt(3.0) * std;
}

}  // namespace

at::Tensor Conv::operator()(const at::Tensor& x) const { return at::conv2d(x, weight, {}, stride, padding); }

at::Tensor BatchNorm::operator()(const at::Tensor& x, bool training) const {
  if (training) {
    c10::NoGradGuard guard;
    batches.add_(1);
  }
  return at::batch_norm(x, weight, bias, mean, variance, training, /*momentum=*/0.1, /*eps=*/1e-5,
                        /*cudnn_enabled=*/true);
}

at::Tensor Linear::operator()(const at::Tensor& x) const { return at::linear(x, weight, bias); }

at::Tensor global_average(const at::Tensor& map) {
  return at::mean(map, {2, 3}, /*keepdim=*/false, at::kFloat);
}

Builder::Builder(uint64_t seed, std::vector<NamedTensor>& weights)
    : generator_(at::make_generator<at::CPUGeneratorImpl>(seed)), weights_(weights) {}

at::Tensor Builder::add(const std::string& name, at::Tensor tensor, bool trained) {
  weights_.push_back({name, tensor, trained});
  return tensor;
}

Conv Builder::conv(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                   int64_t padding) {
  const double bound = kaiming_bound(in * kernel * kernel);
  auto weight = at::empty({out, in, kernel, kernel}).uniform_(-bound, bound, generator_);
  return {add(name + ".weight", weight, true), stride, padding};
}

BatchNorm Builder::batch_norm(const std::string& name, int64_t channels) {
  return {add(name + ".weight", at::ones({channels}), true), add(name + ".bias", at::zeros({channels}), true),
          add(name + ".running_mean", at::zeros({channels}), false),
          add(name + ".running_var", at::ones({channels}), false),
          add(name + ".num_batches_tracked", at::zeros({}, at::kLong), false)};
}

Linear Builder::linear(const std::string& name, int64_t in, int64_t out) {
  const double bound = kaiming_bound(in);
  auto weight = at::empty({out, in}).uniform_(-bound, bound, generator_);
  const double bias_bound = in > 0 ? 1 / std::sqrt(static_cast<double>(in)) : 0;
  auto bias = at::empty({out}).uniform_(-bias_bound, bias_bound, generator_);
  return {add(name + ".weight", weight, true), add(name + ".bias", bias, true)};
}

}  // namespace mode_ensemble
