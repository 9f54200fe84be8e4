#include "train/training_step.h"

#include "runtime/random.h"

namespace mode_ensemble {

TrainingStep::TrainingStep(const TrainOptions& options, const Compute& compute, const Parts& parts,
                           JobContext& context)
    : options_(options),
      compute_(compute),
      parts_(parts),
      context_(context),
      seed_(static_cast<uint64_t>(options.seed)),
      rank_(static_cast<uint64_t>(options.ranks->rank())),
      objective_(options.objective, seed_, options.ranks->rank(), options.arch.classes) {
  if (compute.on_gpu() && !parts.gradients && !options.evaluate) record_steps();
}

Votes TrainingStep::run(Batch& batch, const Votes& own, double rate, Position& position) {
  Votes votes = own;
  share_ = own.share;
  if (parts_.gradients) parts_.gradients->begin(own);
  parts_.optimizer.set_rate(rate);
  if (const int64_t rows = batch.images.size(0); rows > 0) {
    const auto targets = objective_.prepare(batch.images, batch.labels, position.steps);
    const auto at_step = static_cast<uint64_t>(position.steps);
    parts_.network.seed_dropout(RandomStream(seed_, "dropout", at_step, rank_).next());
    at::Tensor sums;
    if (recorded_) {
      std::vector<at::Tensor> inputs{batch.images, targets.labels};
      if (targets.shares.defined()) inputs.push_back(targets.shares);
      sums = (*recorded_)(inputs);
    } else {
      sums = backward(batch.images, targets);
    }
    position.epoch_sums.add(sums, rows);
    position.window.add(sums, rows);
  }
  if (parts_.gradients) votes = parts_.gradients->finish();
  if (votes.share == 0) return votes;  // nobody has an image
  if (!recorded_) move();
  ++position.steps;
  return votes;
}

// Gives what batch_sums gives.
at::Tensor TrainingStep::backward(const at::Tensor& images, const Targets& targets) {
  at::Tensor logits, loss;
  {
    const Autocast autocast(compute_);
    logits = parts_.network.forward(images, true, {}).logits.to(at::kFloat);
    loss = objective_.loss(logits, targets);
  }
  // A rank with fewer images counts for less.
  if (parts_.gradients && share_ != 1)
    (loss * share_).backward();
  else
    loss.backward();
  return batch_sums(loss, logits, targets.labels);
}

void TrainingStep::move() {
  parts_.optimizer.step();
  if (parts_.ema) parts_.ema->update();
}

void TrainingStep::record_steps() {
  parts_.network.seed_dropout(0);  // so that there is something to draw from
  const auto work = [this](const std::vector<at::Tensor>& inputs) {
    const auto sums = backward(inputs[0], {inputs[1], inputs.size() > 2 ? inputs[2] : at::Tensor()});
    move();
    return sums;
  };
  const auto failed = [this](const std::string& why) {
    // Those that the recording left were never computed.
    for (const auto& parameter : parts_.network.parameters()) parameter.mutable_grad().reset();
    context_.report(LogLine{true, "Training steps are not recorded as a CUDA graph: " + why});
  };
  recorded_.emplace(options_.batchSize, parts_.network.dropout_random(), work, failed);
}

}  // namespace mode_ensemble
