// One step of a training: forward, backward, and the weights' move.
#pragma once
#include <optional>

#include "cuda/recorded_step.h"
#include "data/tensor_loader.h"
#include "runtime/compute.h"
#include "runtime/context.h"
#include "train/gradients.h"
#include "train/objective.h"
#include "train/options.h"
#include "train/state.h"

namespace mode_ensemble {

class TrainingStep {
 public:
  // What a step moves. `ema` and `gradients` may be null; `gradients`: where there are other ranks.
  struct Parts {
    Network& network;
    Optimizer& optimizer;
    Ema* ema = nullptr;
    Gradients* gradients = nullptr;
  };
  TrainingStep(const TrainOptions& options, const Compute& compute, const Parts& parts, JobContext& context);
  TrainingStep(const TrainingStep&) = delete;
  TrainingStep& operator=(const TrainingStep&) = delete;

  // With all ranks together. Adds to the sums and the steps of `position`; the batch's images are then mixed,
  // where that is asked for. Gives the sums of the votes.
  Votes run(Batch& batch, const Votes& own, double rate, Position& position);

 private:
  at::Tensor backward(const at::Tensor& images, const Targets& targets);
  void move();
  void record_steps();

  const TrainOptions& options_;
  const Compute& compute_;
  Parts parts_;
  JobContext& context_;
  uint64_t seed_, rank_;
  Objective objective_;
  float share_ = 1;                       // of a full batch
  std::optional<RecordedStep> recorded_;  // on a GPU without other ranks
};

}  // namespace mode_ensemble
