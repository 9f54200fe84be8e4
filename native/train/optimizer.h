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
  // Takes the step and drops the gradients.
  virtual void step(double learning_rate) = 0;
  // What it keeps from step to step, by the parameters' names; the tensors themselves, to be read and
  // written.
  virtual std::vector<NamedTensor> memory() const = 0;
};

// Whether weight decay takes hold of a parameter.
bool decays(const OptimizerOptions& options, const NamedTensor& weight);

// Of the network's trained parameters. Throws Error(config) for a name that is not known.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, const Network& network);

}  // namespace mode_ensemble
