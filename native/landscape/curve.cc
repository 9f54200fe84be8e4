#include "landscape/curve.h"

#include <algorithm>
#include <cmath>

#include "checkpoint/weights.h"
#include "landscape/held_images.h"
#include "landscape/statistics.h"
#include "landscape/weight_space.h"
#include "runtime/compute.h"
#include "runtime/device.h"
#include "runtime/memory.h"
#include "runtime/random.h"
#include "train/check.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/state.h"

namespace mode_ensemble {
namespace {

using Clock = std::chrono::steady_clock;
using Coefficients = std::array<double, 3>;

// (1 − t)²·a + 2t(1 − t)·bend + t²·b.
Coefficients bezier(double t) { return {(1 - t) * (1 - t), 2 * t * (1 - t), t * t}; }

// Two straight lines: a to the bend for t below ½, and from there to b.
Coefficients chain(double t) {
  return t < 0.5 ? Coefficients{1 - 2 * t, 2 * t, 0} : Coefficients{0, 2 - 2 * t, 2 * t - 1};
}

struct KindRow {
  const char* name;
  Coefficients (*at)(double t);
};
constexpr KindRow kKinds[] = {{"bezier", bezier}, {"chain", chain}};

class CurveTrainer {
 public:
  CurveTrainer(const CurveOptions& options, JobContext& context)
      : options_(options),
        training_(options.training),
        context_(context),
        seed_(static_cast<uint64_t>(training_.seed)),
        space_(training_.arch, {options.ends[0], options.ends[1]}, 0, 0),
        network_(middle()),
        bend_(middle()),
        objective_(training_.objective, seed_, 0, training_.arch.classes),
        state_(training_.saving.folder, training_.saving.keepStates) {
    space_.add(bend_);
    network_->require_gradients(true);
    network_->set_drop_path(training_.dropPath);
    // Decay acts on the network at t, see step().
    auto optimizer = training_.optimizer;
    optimizer.weightDecay = 0;
    optimizer_ = make_optimizer(optimizer, *bend_);
    if (!training_.resume.empty()) position_ = state_.load(training_.resume, {*bend_, *optimizer_});
  }

  CurveResult run() {
    const auto start = Clock::now();
    CurveResult result;
    ProgressMeter meter(context_, "curve", training_.train->reader->size() * training_.epochs);
    meter.add(position_.epoch * training_.train->reader->size() + position_.batches * training_.batchSize);
    for (; position_.epoch < training_.epochs; ++position_.epoch, position_.batches = 0) {
      train_epoch(meter);
      if (position_.epoch_sums.images == 0)
        throw Error(ErrorCode::data, "No image of the training data could be read.");
      const Means means = position_.epoch_sums.read();
      position_.epoch_sums = {};
      result.loss = means.loss;
      result.accuracy = means.top1;
      if (!std::isfinite(means.loss)) throw_not_finite();
      tell(means);
    }
    save();
    result.seconds = seconds_since(start);
    return result;
  }

 private:
  std::unique_ptr<Network> middle() const {
    const Coefficients half{0.5, 0.5};
    return space_.at(half.data());
  }

  double rate() const { return learning_rate(training_.schedule, position_.epoch, training_.epochs); }

  LoaderOptions loader_options() const {
    LoaderOptions loader;
    loader.prepare.transform = training_.transform;
    loader.prepare.type = pixel_type_of(training_.precision, network_->begins_with_convolution());
    loader.prepare.training = true;
    loader.prepare.augment = training_.augment;
    loader.prepare.decode = training_.decode == "fast" ? DecodeMode::fast : DecodeMode::exact;
    loader.prepare.seed = loader.sampler.seed = seed_;
    loader.prepare.epoch = loader.sampler.epoch = static_cast<uint64_t>(position_.epoch);
    loader.sampler.shuffle = true;
    loader.batchSize = training_.batchSize;
    loader.firstBatch = position_.batches;
    loader.workers = training_.workers;
    loader.keepDecoded = static_cast<uint64_t>(training_.keepDecoded);
    return loader;
  }

  void train_epoch(ProgressMeter& meter) {
    TensorLoader loader(training_.train, loader_options());
    Batch batch;
    while (loader.next(batch)) {
      ++position_.batches;
      if (batch.images.size(0) > 0) step(batch);
      meter.add(batch.read);
      save_state_if_due();
    }
  }

  void step(Batch& batch) {
    RandomStream random(seed_, "curve", static_cast<uint64_t>(position_.steps));
    const double t = static_cast<double>(random.next() >> 11) * 0x1p-53;
    // The space's vectors are the two ends and then the bend.
    const auto [first, bend, second] = curve_coefficients(options_.kind, t);
    const Coefficients ordered{first, second, bend};
    space_.fill(*network_, ordered.data());
    const auto targets = objective_.prepare(batch.images, batch.labels, position_.steps);
    network_->seed_dropout(RandomStream(seed_, "dropout", static_cast<uint64_t>(position_.steps)).next());
    at::Tensor logits, loss;
    {
      const Autocast autocast(training_.precision);
      logits = network_->forward(batch.images, /*training=*/true, {}).logits.to(at::kFloat);
      loss = objective_.loss(logits, targets);
    }
    loss.backward();
    give_gradients(bend);
    optimizer_->step(rate());
    position_.epoch_sums.add(batch_sums(loss, logits, targets.labels), batch.images.size(0));
    ++position_.steps;
  }

  // ∂/∂bend of the loss at w(t) = … + c·bend + … and of ½·decay·‖w(t)‖² is c times that by w(t).
  void give_gradients(double coefficient) {
    const c10::NoGradGuard no_grad;
    const auto& at_t = network_->weights();
    for (size_t i = 0; i < at_t.size(); ++i) {
      if (!at_t[i].trained) continue;
      auto& gradient = at_t[i].tensor.mutable_grad();
      if (!gradient.defined()) gradient = at::zeros_like(at_t[i].tensor);
      if (decays(training_.optimizer, at_t[i]))
        gradient.add_(at_t[i].tensor, training_.optimizer.weightDecay);
      bend_->weights()[i].tensor.mutable_grad() = gradient.mul_(coefficient);
      gradient.reset();
    }
  }

  void tell(const Means& means) {
    char text[160];
    std::snprintf(text, sizeof text, "curve: epoch %lld/%lld, loss %.4f, accuracy %.2f %%",
                  static_cast<long long>(position_.epoch + 1), static_cast<long long>(training_.epochs),
                  means.loss, means.top1);
    context_.report(LogLine{false, text});
  }

  // As Trainer::save_state_if_due of a training.
  void save_state_if_due() {
    const auto& saving = training_.saving;
    const bool stopped = context_.aborted();
    const bool due = (saving.stateSteps > 0 && position_.steps % saving.stateSteps == 0) ||
                     (saving.stateMinutes > 0 && seconds_since(saved_) >= 60 * saving.stateMinutes);
    if ((stopped || due) && !saving.folder.empty()) {
      saved_ = Clock::now();
      for (const auto& weight : bend_->weights())
        if (weight.trained && !at::isfinite(weight.tensor).all().item<bool>()) throw_not_finite();
      state_.save({*bend_, *optimizer_}, position_, training_.metadata);
    }
    if (stopped)
      throw Error(ErrorCode::aborted,
                  "The curve's training was stopped at step " + std::to_string(position_.steps) + ".");
  }

  // With running statistics of its own, so that the bend is a network that can be evaluated.
  void save() {
    auto& statistics = options_.statistics;
    if (has_running_statistics(*bend_)) {
      LoaderOptions loader = loader_options();
      loader.prepare.epoch = loader.sampler.epoch = 0;
      loader.prepare.training = statistics.augment.has_value();
      loader.firstBatch = 0;
      loader.batchSize = statistics.batchSize;
      loader.keepDecoded = 0;
      const HoldOptions hold{statistics.train, statistics.images, seed_, "landscape-statistics", 0, loader};
      if (bytes_to_hold(hold) > options_.memory)
        throw Error(ErrorCode::memory,
                    "statistics.images: more images than memory is allowed for; take fewer of them.");
      ProgressMeter meter(context_, "images", images_to_hold(hold));
      const auto held = hold_images(hold, meter, context_);
      estimate_statistics(*bend_, held, training_.precision, RandomStream(seed_, "landscape-dropout").next(),
                          context_);
    }
    save_weights(*bend_, training_.checkpoint, training_.metadata);
  }

  [[noreturn]] void throw_not_finite() const {
    throw Error(ErrorCode::numeric, "The curve's loss or its bend's weights are not finite at step " +
                                        std::to_string(position_.steps) + " (learning rate " +
                                        std::to_string(rate()) + "); a smaller learning rate may help.");
  }

  const CurveOptions& options_;
  const TrainOptions& training_;
  JobContext& context_;
  uint64_t seed_;
  WeightSpace space_;
  std::unique_ptr<Network> network_;  // at t
  std::shared_ptr<Network> bend_;
  std::unique_ptr<Optimizer> optimizer_;
  Objective objective_;
  StateFile state_;
  Position position_;
  Clock::time_point saved_ = Clock::now();
};

void check(const CurveOptions& options) {
  const auto& training = options.training;
  const auto fail = [](const std::string& message) { throw Error(ErrorCode::config, message); };
  if (training.epochs < 1)
    fail("epochs: expected at least 1, found " + std::to_string(training.epochs) + ".");
  if (training.batchSize < 1)
    fail("batchSize: expected at least 1, found " + std::to_string(training.batchSize) + ".");
  curve_coefficients(options.kind, 0);
  check_labels(*training.train->reader, training.arch.classes);
}

}  // namespace

std::array<double, 3> curve_coefficients(const std::string& kind, double t) {
  for (const auto& row : kKinds)
    if (kind == row.name) return row.at(t);
  throw Error(ErrorCode::config, "kind: expected bezier or chain, found " + kind + ".");
}

CurveResult train_curve(const CurveOptions& options, JobContext& context) {
  check(options);
  use_threads(options.training.threads);
  const MemoryReuse reuse;
  return CurveTrainer(options, context).run();
}

}  // namespace mode_ensemble
