#include "train/train.h"

#include <cmath>

#include "checkpoint/weights.h"
#include "data/tensor_loader.h"
#include "models/network.h"
#include "runtime/device.h"
#include "runtime/memory.h"
#include "runtime/random.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/state.h"
#include "train/statistics.h"

namespace mode_ensemble {
namespace {

using Clock = std::chrono::steady_clock;

void check(const TrainOptions& options) {
  const auto fail = [](const std::string& message) { throw Error(ErrorCode::config, message); };
  if (options.epochs < 1) fail("epochs: expected at least 1, found " + std::to_string(options.epochs) + ".");
  if (options.batchSize < 1)
    fail("batchSize: expected at least 1, found " + std::to_string(options.batchSize) + ".");
  if (options.schedule.cooldownEpochs >= options.epochs || options.schedule.warmupEpochs > options.epochs)
    fail("warmupEpochs, cooldownEpochs: expected no more warm-up than the " + std::to_string(options.epochs) +
         " epochs and less cool-down, found " + std::to_string(options.schedule.warmupEpochs) + " and " +
         std::to_string(options.schedule.cooldownEpochs) + ".");
  for (const auto& data : {options.train, options.test}) {
    for (int64_t i = 0; i < data->reader->size(); ++i) {
      const int64_t label = data->reader->label(i);
      if (label < 0 || label >= options.arch.classes)
        throw Error(ErrorCode::data, data->reader->name(i) + ": expected a label from 0 to " +
                                         std::to_string(options.arch.classes - 1) + ", found " +
                                         std::to_string(label) + ".");
    }
  }
}

LoaderOptions loader_options(const TrainOptions& options, const Network& network) {
  LoaderOptions loader;
  loader.prepare.transform = options.transform;
  loader.prepare.type = pixel_type_of(options.precision, network.begins_with_convolution());
  loader.batchSize = options.batchSize;
  loader.workers = options.workers;
  loader.keepDecoded = static_cast<uint64_t>(options.keepDecoded);
  return loader;
}

LoaderOptions training_loader_options(const TrainOptions& options, const Network& network,
                                      const Position& position) {
  auto loader = loader_options(options, network);
  loader.firstBatch = position.batches;
  loader.prepare.training = true;
  loader.prepare.augment = options.augment;
  loader.prepare.decode = options.decode == "fast" ? DecodeMode::fast : DecodeMode::exact;
  loader.prepare.seed = loader.sampler.seed = static_cast<uint64_t>(options.seed);
  loader.prepare.epoch = loader.sampler.epoch = static_cast<uint64_t>(position.epoch);
  loader.sampler.shuffle = true;
  return loader;
}

// How long something took, and how much of it was waiting for the loader.
struct Times {
  double seconds = 0, waited = 0;
};

class Trainer {
 public:
  Trainer(const TrainOptions& options, JobContext& context)
      : options_(options),
        context_(context),
        seed_(static_cast<uint64_t>(options.seed)),
        network_(make_network(options.arch, {Init::seeded, seed_})),
        objective_(options.objective, seed_, options.arch.classes),
        state_(options.saving.folder, options.saving.keepStates) {
    network_->to_channels_last();
    network_->require_gradients(true);
    optimizer_ = make_optimizer(options.optimizer, *network_);
    if (!options.resume.empty()) position_ = state_.load(options.resume, *network_, *optimizer_);
  }

  TrainResult run() {
    TrainResult result;
    double training_seconds = 0;
    int64_t images = 0;
    for (; position_.epoch < options_.epochs; next_epoch()) {
      const int64_t before = position_.epoch_sums.images;
      const Times times = train_epoch();
      const auto trained = position_.epoch_sums.read();
      const auto start = Clock::now();
      const Means tested = test();
      training_seconds += times.seconds;
      images += position_.epoch_sums.images - before;
      result.loss = trained.loss;
      result.accuracy = tested.top1;
      result.top5 = tested.top5;
      const double seconds = times.seconds + seconds_since(start);
      result.seconds += seconds;
      const double speed =
          static_cast<double>(position_.epoch_sums.images - before) / std::max(times.seconds, 1e-9);
      report_epoch(trained, tested, times, seconds, speed);
      save_epoch();
    }
    result.imagesPerSecond = static_cast<double>(images) / std::max(training_seconds, 1e-9);
    save_weights(*network_, options_.checkpoint, options_.metadata);
    return result;
  }

 private:
  double rate() const { return learning_rate(options_.schedule, position_.epoch, options_.epochs); }

  void next_epoch() {
    ++position_.epoch;
    position_.batches = 0;
    position_.epoch_sums = {};
  }

  Times train_epoch() {
    Times times;
    const auto start = Clock::now();
    TensorLoader loader(options_.train, training_loader_options(options_, *network_, position_));
    ProgressMeter meter(context_, "train", options_.train->reader->size());
    const int64_t batches = loader.loader().batches();
    Statistics& window = position_.window;
    Times since;
    auto window_start = start;
    Batch batch;
    while (true) {
      const auto asked = Clock::now();
      if (!loader.next(batch)) break;
      const double waited = seconds_since(asked);
      times.waited += waited, since.waited += waited;
      const int64_t rows = batch.images.size(0);
      ++position_.batches;
      if (rows > 0) {
        const auto sums = step(batch);
        position_.epoch_sums.add(sums, rows);
        window.add(sums, rows);
        ++position_.steps;
        meter.add(rows);
      }
      const bool is_last = position_.batches == batches;
      if (window.images > 0 && (is_last || position_.batches % options_.reportSteps == 0)) {
        since.seconds = seconds_since(window_start);
        report_step(window, since, batches);
        window = {}, since = {};
        window_start = Clock::now();
      }
      save_state_if_due();
    }
    times.seconds = seconds_since(start);
    if (position_.epoch_sums.images == 0)
      throw Error(ErrorCode::data, "No image of the training data could be read.");
    return times;
  }

  // Forward, backward, and the weights' move; what batch_sums gives.
  at::Tensor step(Batch& batch) {
    const auto targets = objective_.prepare(batch.images, batch.labels, position_.steps);
    network_->seed_dropout(RandomStream(seed_, "dropout", static_cast<uint64_t>(position_.steps)).next());
    at::Tensor logits, loss;
    {
      const Autocast autocast(options_.precision);
      logits = network_->forward(batch.images, true, {}).logits.to(at::kFloat);
      loss = objective_.loss(logits, targets);
    }
    loss.backward();
    optimizer_->step(rate());
    return batch_sums(loss, logits, targets.labels);
  }

  // The weights after the first epoch and every saveEpochs; those after the last one are the checkpoint.
  void save_epoch() {
    const int64_t every = options_.saving.saveEpochs, epoch = position_.epoch + 1;
    if (every == 0 || epoch == options_.epochs || (epoch != 1 && epoch % every != 0)) return;
    auto metadata = options_.metadata;
    metadata["epoch"] = std::to_string(epoch);
    save_weights(*network_, options_.saving.folder + "/epoch-" + std::to_string(epoch) + ".safetensors",
                 metadata);
  }

  // What goes on from here is as good as the training itself: every n steps, every few minutes, and when it
  // is stopped.
  void save_state_if_due() {
    const bool stopped = context_.aborted();
    const auto& [save_epochs, steps, minutes, keep, folder] = options_.saving;
    const bool due =
        (steps > 0 && position_.steps % steps == 0) || (minutes > 0 && seconds_since(saved_) >= 60 * minutes);
    if (stopped || due) save_state();
    if (stopped)
      throw Error(ErrorCode::aborted, "The training was stopped at step " + std::to_string(position_.steps) +
                                          ", from which it can go on.");
  }

  void save_state() {
    saved_ = Clock::now();
    if (position_.steps == state_.saved_steps()) return;
    // A state that cannot be trained from must not take the place of one that can.
    for (const auto& weight : network_->weights())
      if (weight.tensor.is_floating_point() && !at::isfinite(weight.tensor).all().item<bool>())
        throw_not_finite("The weights are");
    state_.save(*network_, *optimizer_, position_, options_.metadata);
  }

  Means test() {
    const c10::NoGradGuard no_grad;
    TensorLoader loader(options_.test, loader_options(options_, *network_));
    ProgressMeter meter(context_, "test", options_.test->reader->size());
    Batch batch;
    Statistics sums;
    while (loader.next(batch)) {
      if (context_.aborted()) save_state_if_due();
      const int64_t rows = batch.images.size(0);
      if (rows == 0) continue;
      const Autocast autocast(options_.precision);
      const auto logits = network_->forward(batch.images, false, {}).logits.to(at::kFloat);
      sums.add(batch_sums(at::cross_entropy_loss(logits, batch.labels), logits, batch.labels), rows);
      meter.add(rows);
    }
    if (sums.images == 0) throw Error(ErrorCode::data, "No image of the test data could be read.");
    return sums.read();
  }

  [[noreturn]] void throw_not_finite(const std::string& what) const {
    const auto kept = state_.saved_steps() < 0 ? ""
                                               : "; " + state_.path() + " holds the state of step " +
                                                     std::to_string(state_.saved_steps());
    throw Error(ErrorCode::numeric, what + " not finite at step " + std::to_string(position_.steps) +
                                        " (epoch " + std::to_string(position_.epoch + 1) +
                                        ", learning rate " + std::to_string(rate()) +
                                        "); a smaller learning rate may help" + kept + ".");
  }

  void report_step(const Statistics& window, const Times& times, int64_t batches) {
    const Means means = window.read();
    if (!std::isfinite(means.loss)) throw_not_finite("The training loss is");
    StepReport report;
    report.epoch = position_.epoch + 1;
    report.epochs = options_.epochs;
    report.step = position_.batches;
    report.steps = batches;
    report.globalStep = position_.steps;
    report.loss = means.loss;
    report.top1 = means.top1;
    report.top5 = means.top5;
    report.learningRate = rate();
    report.imagesPerSecond = static_cast<double>(window.images) / times.seconds;
    report.dataWait = times.waited / times.seconds;
    context_.report(report);
  }

  void report_epoch(const Means& trained, const Means& tested, const Times& times, double seconds,
                    double images_per_second) {
    EpochReport report;
    report.epoch = position_.epoch + 1;
    report.epochs = options_.epochs;
    report.globalStep = position_.steps;
    report.loss = trained.loss;
    report.trainTop1 = trained.top1;
    report.trainTop5 = trained.top5;
    report.learningRate = rate();
    report.accuracy = tested.top1;
    report.top5 = tested.top5;
    report.testLoss = tested.loss;
    report.seconds = seconds;
    report.imagesPerSecond = images_per_second;
    report.dataWait = times.waited / times.seconds;
    context_.report(report);
  }

  const TrainOptions& options_;
  JobContext& context_;
  uint64_t seed_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Optimizer> optimizer_;
  Objective objective_;
  StateFile state_;
  Clock::time_point saved_ = Clock::now();
  Position position_;
};

}  // namespace

TrainResult train(const TrainOptions& options, JobContext& context) {
  check(options);
  use_threads(options.threads);
  const MemoryReuse reuse;
  return Trainer(options, context).run();
}

InitWeightsResult init_weights(const InitWeightsOptions& options, JobContext& context) {
  const auto network = make_network(options.arch, {Init::seeded, static_cast<uint64_t>(options.seed)});
  InitWeightsResult result;
  for (const auto& weight : network->weights()) {
    ++result.tensors;
    if (weight.trained) result.parameters += weight.tensor.numel();
  }
  context.throw_if_aborted();
  save_weights(*network, options.output, options.metadata);
  return result;
}

}  // namespace mode_ensemble
