// A running mean of the weights, which is what is kept of a training that asks for it.
#pragma once
#include <vector>

#include "models/network.h"

namespace mode_ensemble {

// mean ← decay · mean + (1 − decay) · weights after each step, from the initial weights on; counts are the
// network's own (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992; timm's ModelEma).
class Ema {
 public:
  Ema(const Network& network, double decay);
  void update();
  // The network computes with the means, and the means are its weights, until the next call.
  void exchange();
  // Named as the network's weights; the tensors themselves.
  const std::vector<NamedTensor>& means() const { return means_; }

 private:
  double decay_;
  std::vector<NamedTensor> means_;
  std::vector<at::Tensor> numbers_, of_numbers_;  // of floating point: weights, and their means
  std::vector<at::Tensor> counts_, of_counts_;
  std::vector<at::Tensor> weights_;
};

}  // namespace mode_ensemble
