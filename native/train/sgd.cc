#include "train/sgd.h"

#include <cmath>

namespace mode_ensemble {

Sgd::Sgd(std::vector<at::Tensor> parameters, SgdOptions options)
    : parameters_(std::move(parameters)), options_(options) {
  for (const auto& parameter : parameters_) momenta_.push_back(at::zeros_like(parameter));
}

void Sgd::step(double learning_rate) {
  const c10::NoGradGuard guard;
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters_.size());
  // The fused kernel walks memory: parameter, gradient and momentum must lie alike.
  for (const auto& parameter : parameters_) {
    auto gradient = parameter.grad();
    if (gradient.strides() != parameter.strides()) gradient = at::empty_like(parameter).copy_(gradient);
    gradients.push_back(gradient);
  }
  at::_fused_sgd_(parameters_, gradients, momenta_, options_.weightDecay, options_.momentum, learning_rate,
                  /*dampening=*/0.0, options_.nesterov, /*maximize=*/false, /*is_first_step=*/first_);
  first_ = false;
  for (auto& parameter : parameters_) parameter.mutable_grad().reset();
}

double cosine_rate(double base, int64_t epoch, int64_t epochs) {
  return 0.5 * base * (1.0 + std::cos(M_PI * static_cast<double>(epoch) / static_cast<double>(epochs)));
}

}  // namespace mode_ensemble
