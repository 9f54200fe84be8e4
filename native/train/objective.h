// What a training step makes small: the mean cross-entropy of the batch, against labels or against mixtures
// of them.
#pragma once
#include "data/tensor_loader.h"
#include "train/options.h"

namespace mode_ensemble {

// What a batch is trained towards.
struct Targets {
  at::Tensor labels;  // [N] int64
  at::Tensor shares;  // [N, C] float32, each row sums to 1; undefined where the labels are the targets
};

class Objective {
 public:
  Objective(const ObjectiveOptions& options, uint64_t seed, int64_t rank, int64_t classes)
      : options_(options), seed_(seed), rank_(static_cast<uint64_t>(rank)), classes_(classes) {}

  // Mixes the images of a training batch with each other (a new tensor) and says what they are then. `step`:
  // of the whole training, from 0; every choice is a function of (seed, step, rank) alone.
  Targets prepare(at::Tensor& images, const at::Tensor& labels, int64_t step) const;
  // logits [N, C] float32; a scalar.
  at::Tensor loss(const at::Tensor& logits, const Targets& targets) const;

 private:
  ObjectiveOptions options_;
  uint64_t seed_, rank_;
  int64_t classes_;
};

}  // namespace mode_ensemble
