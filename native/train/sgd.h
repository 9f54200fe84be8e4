// SGD with momentum and weight decay over all parameters in one call, without temporaries (torch.optim.SGD's
// rule).
#pragma once
#include <ATen/ATen.h>

#include <vector>

namespace mode_ensemble {

struct SgdOptions {
  double momentum = 0, weightDecay = 0;
  bool nesterov = false;
};

class Sgd {
 public:
  Sgd(std::vector<at::Tensor> parameters, SgdOptions options);
  // Takes the step and drops the gradients.
  void step(double learning_rate);

 private:
  std::vector<at::Tensor> parameters_, momenta_;
  SgdOptions options_;
  bool first_ = true;
};

// Learning rate of `epoch` (from 0): torch's CosineAnnealingLR with T_max = epochs and eta_min = 0, in closed
// form.
double cosine_rate(double base, int64_t epoch, int64_t epochs);

}  // namespace mode_ensemble
