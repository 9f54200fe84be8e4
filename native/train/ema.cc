#include "train/ema.h"

namespace mode_ensemble {

Ema::Ema(const Network& network, double decay) : decay_(decay) {
  for (const auto& weight : network.weights()) {
    const auto mean = weight.tensor.detach().clone();
    means_.push_back({weight.name, mean, false});
    weights_.push_back(weight.tensor);
    const bool is_number = mean.is_floating_point();
    (is_number ? numbers_ : counts_).push_back(weight.tensor);
    (is_number ? of_numbers_ : of_counts_).push_back(mean);
  }
}

void Ema::update() {
  const c10::NoGradGuard guard;
  at::_foreach_lerp_(of_numbers_, numbers_, 1 - decay_);
  for (size_t i = 0; i < counts_.size(); ++i) of_counts_[i].copy_(counts_[i]);
}

void Ema::exchange() {
  const c10::NoGradGuard guard;
  for (size_t i = 0; i < weights_.size(); ++i) {
    const auto kept = means_[i].tensor.detach().clone();
    means_[i].tensor.copy_(weights_[i]);
    weights_[i].copy_(kept);
  }
}

}  // namespace mode_ensemble
