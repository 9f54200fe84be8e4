// What moves the weights against their gradients: one class an algorithm, one table.
#pragma once
#include <memory>
#include <vector>

#include "models/network.h"
#include "train/options.h"

namespace mode_ensemble {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // The learning rate from the next step on. On a GPU it lies there, so that a step which is recorded once
  // can be replayed with another rate.
  void set_rate(double learning_rate);
  // Takes the step and drops the gradients.
  virtual void step() = 0;
  void step(double learning_rate) {
    set_rate(learning_rate);
    step();
  }
  // What it keeps from step to step, by the parameters' names; the tensors themselves, to be read and
  // written.
  virtual std::vector<NamedTensor> memory() const = 0;

 protected:
  explicit Optimizer(const Network& network);
  // Calls `fused` with the rate in the form that LibTorch's fused kernels take on the device.
  template <typename Fused>
  void with_rate(Fused fused) const {
    if (on_device_.defined())
      fused(on_device_);
    else
      fused(rate_);
  }

 private:
  double rate_ = 0;
  at::Tensor on_device_;  // float32, of a GPU
};

// Whether weight decay takes hold of a parameter.
bool decays(const OptimizerOptions& options, const NamedTensor& weight);

// Of the network's trained parameters. Throws Error(config) for a name that is not known.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, const Network& network);

}  // namespace mode_ensemble
