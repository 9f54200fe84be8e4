#include "train/train.h"

#include <array>
#include <cmath>
#include <optional>

#include "checkpoint/weights.h"
#include "cuda/feed.h"
#include "cuda/square_batches.h"
#include "models/network.h"
#include "runtime/compute.h"
#include "runtime/device.h"
#include "runtime/memory.h"
#include "train/check.h"
#include "train/gradients.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/state.h"
#include "train/statistics.h"
#include "train/training_step.h"

namespace mode_ensemble {
namespace {

using Clock = std::chrono::steady_clock;

// Decoded sets of at most so many bytes lie in a GPU's memory, where training images are then prepared.
constexpr int64_t kMostOnDevice = int64_t{1} << 30;

LoaderOptions loader_options(const TrainOptions& options, const Network& network) {
  LoaderOptions loader;
  loader.prepare.transform = options.transform;
  loader.prepare.type = pixel_type_of(options.precision, network.begins_with_convolution());
  loader.batchSize = options.batchSize / options.ranks->size();
  loader.sampler.rank = options.ranks->rank();
  loader.sampler.ranks = options.ranks->size();
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
  loader.sampler.evenShards = true;
  return loader;
}

// How long something took, and how much of it was waiting for the loader.
struct Times {
  double seconds = 0, waited = 0;
};

class Trainer {
 public:
  Trainer(const TrainOptions& options, const Compute& compute, JobContext& context)
      : options_(options),
        compute_(compute),
        scope_(compute),
        context_(context),
        ranks_(*options.ranks),
        network_(make_network(options.arch, {Init::seeded, static_cast<uint64_t>(options.seed)})),
        state_(options.saving.folder, options.saving.keepStates) {
    network_->to_channels_last();
    network_->to_device(compute.device);
    network_->require_gradients(true);
    optimizer_ = make_optimizer(options.optimizer, *network_);
    network_->set_drop_path(options.dropPath);
    if (options.ema > 0) ema_.emplace(*network_, options.ema);
    if (!options.resume.empty()) position_ = state_.load(options.resume, moving());
    if (ranks_.size() > 1) {
      if (compute.on_gpu()) nccl_ = std::make_shared<Nccl>(ranks_, compute.device);
      begin_together();
      gradients_.emplace(options.ranks, nccl_, *network_);
    }
    const TrainingStep::Parts parts{*network_, *optimizer_, ema_ ? &*ema_ : nullptr,
                                    gradients_ ? &*gradients_ : nullptr};
    step_.emplace(options, compute, parts, context);
    if (position_.epoch >= options.epochs)
      throw Error(ErrorCode::config, "epochs: expected more than the " + std::to_string(position_.epoch) +
                                         " that " + options.resume + " has behind it, found " +
                                         std::to_string(options.epochs) + ".");
  }

  // Of the checkpoint, by all ranks.
  TrainResult evaluate() {
    if (leads()) load_weights(*network_, options_.checkpoint);
    ema_.reset();
    const auto start = Clock::now();
    const auto sums = validate();
    TrainResult result;
    result.seconds = seconds_since(start);
    if (leads()) take(result, sums.read());
    return result;
  }

  TrainResult run() {
    TrainResult result;
    double training_seconds = 0;
    int64_t images = 0;
    if (compute_.on_gpu()) {
      const auto settings = training_loader_options(options_, *network_, position_);
      squares_ = DeviceSquares::load(options_.train, settings, compute_, kMostOnDevice, context_);
    }
    for (; position_.epoch < options_.epochs; next_epoch()) {
      const int64_t before = position_.epoch_sums.images;
      const Times times = train_epoch();
      position_.epoch_sums.gather(ranks_);
      if (leads() && position_.epoch_sums.images == 0)
        throw Error(ErrorCode::data, "No image of the training data could be read.");
      const int64_t trained_now = position_.epoch_sums.images - before;
      const auto start = Clock::now();
      const auto tested = validate();
      training_seconds += times.seconds;
      images += trained_now;
      const double seconds = times.seconds + seconds_since(start);
      result.seconds += seconds;
      if (!leads()) continue;
      const Means trained = position_.epoch_sums.read(), means = tested.read();
      result.loss = trained.loss;
      take(result, means);
      const double speed = static_cast<double>(trained_now) / std::max(times.seconds, 1e-9);
      report_epoch(trained, means, times, seconds, speed);
      save_epoch();
    }
    result.imagesPerSecond = static_cast<double>(images) / std::max(training_seconds, 1e-9);
    if (leads()) save(options_.checkpoint, options_.metadata);
    return result;
  }

 private:
  static void take(TrainResult& result, const Means& tested) {
    result.accuracy = tested.top1;
    result.top5 = tested.top5;
    result.testLoss = tested.loss;
  }

  // Rank 0 reports, and writes files.
  bool leads() const { return ranks_.rank() == 0; }
  Moving moving() const { return {*network_, *optimizer_, ema_ ? &*ema_ : nullptr}; }
  double rate() const { return learning_rate(options_.schedule, position_.epoch, options_.epochs); }

  void next_epoch() {
    ++position_.epoch;
    position_.batches = 0;
    position_.epoch_sums = {};
  }

  Times train_epoch() {
    Times times;
    const auto start = Clock::now();
    const auto loader = training_batches();
    ProgressMeter meter(context_, "train", options_.train->reader->size());
    const int64_t batches = loader->batches();
    Statistics& window = position_.window;
    Times since;
    auto window_start = start;
    Batch batch;
    while (loader->next(batch)) {
      const double waited = loader->waited() - times.waited;
      times.waited += waited, since.waited += waited;
      ++position_.batches;
      step(batch);
      meter.add(batch.images.size(0) * ranks_.size());
      if (position_.batches == batches || position_.batches % options_.reportSteps == 0) {
        scope_.wait();
        since.seconds = seconds_since(window_start);
        window.gather(ranks_);
        if (window.images > 0) report_step(window, since, batches);
        window = {}, since = {};
        window_start = Clock::now();
      }
      save_state_if_due();
    }
    scope_.wait();
    times.seconds = seconds_since(start);
    return times;
  }

  std::unique_ptr<Batches> training_batches() const {
    const auto settings = training_loader_options(options_, *network_, position_);
    if (squares_) return std::make_unique<SquareBatches>(squares_, settings);
    return std::make_unique<Feed>(options_.train, settings, compute_);
  }

  void step(Batch& batch) {
    scope_.pace();
    const auto full = static_cast<float>(options_.batchSize / ranks_.size());
    const Votes own{static_cast<float>(batch.images.size(0)) / full, context_.aborted() ? 1.0f : 0.0f,
                    leads() && minutes_are_over() ? 1.0f : 0.0f};
    votes_ = step_->run(batch, own, rate(), position_);
  }

  // The weights after the first epoch and every saveEpochs; those after the last one are the checkpoint.
  void save_epoch() {
    const int64_t every = options_.saving.saveEpochs, epoch = position_.epoch + 1;
    if (every == 0 || epoch == options_.epochs || (epoch != 1 && epoch % every != 0)) return;
    auto metadata = options_.metadata;
    metadata["epoch"] = std::to_string(epoch);
    save(options_.saving.folder + "/epoch-" + std::to_string(epoch) + ".safetensors", metadata);
  }

  // What is kept of a training: its weights, or their means.
  void save(const std::string& path, const std::map<std::string, std::string>& metadata) {
    if (ema_) ema_->exchange();
    save_weights(*network_, path, metadata);
    if (ema_) ema_->exchange();
  }

  bool minutes_are_over() const {
    const double minutes = options_.saving.stateMinutes;
    return minutes > 0 && seconds_since(saved_) >= 60 * minutes;
  }

  // What goes on from here is as good as the training itself: every n steps, every few minutes, and when it
  // is stopped.
  void save_state_if_due() {
    const auto& saving = options_.saving;
    const bool stopped = votes_.stop > 0 || (ranks_.size() == 1 && context_.aborted());
    const bool due = saving.stateSteps > 0 && position_.steps % saving.stateSteps == 0;
    if ((stopped || due || votes_.save > 0) && !saving.folder.empty()) save_state();
    if (stopped && saving.folder.empty()) throw Error(ErrorCode::aborted, "The job was stopped.");
    if (stopped)
      throw Error(ErrorCode::aborted, "The training was stopped at step " + std::to_string(position_.steps) +
                                          ", from which it can go on.");
  }

  void save_state() {
    saved_ = Clock::now();
    position_.epoch_sums.gather(ranks_);
    position_.window.gather(ranks_);
    if (!leads() || position_.steps == state_.saved_steps()) return;
    // A state that cannot be trained from must not take the place of one that can.
    for (const auto& weight : network_->weights())
      if (weight.tensor.is_floating_point() && !at::isfinite(weight.tensor).all().item<bool>())
        throw_not_finite("The weights are");
    state_.save(moving(), position_, options_.metadata);
  }

  // What rank 0 begins with, for all: weights, and where it goes on, that too.
  void begin_together() {
    std::array<int64_t, 4> numbers{!options_.resume.empty(), position_.epoch, position_.batches,
                                   position_.steps};
    ranks_.broadcast(numbers.data(), sizeof numbers);
    position_.epoch = numbers[1], position_.batches = numbers[2], position_.steps = numbers[3];
    share_weights();
    if (numbers[0] == 0) return;
    for (const auto& kept : optimizer_->memory()) share(kept.tensor);
    if (ema_)
      for (const auto& mean : ema_->means()) share(mean.tensor);
  }

  void share_weights() {
    for (const auto& weight : network_->weights()) share(weight.tensor);
  }

  // Dense, and in the same order on all ranks.
  void share(const at::Tensor& tensor) {
    if (nccl_) {
      nccl_->broadcast(tensor);
      nccl_->join();
      return;
    }
    ranks_.broadcast(tensor.data_ptr(), static_cast<int64_t>(tensor.nbytes()));
  }

  Statistics validate() {
    if (ema_) ema_->exchange();
    auto sums = test();
    if (ema_) ema_->exchange();
    if (votes_.stop > 0) save_state_if_due();
    sums.gather(ranks_);
    if (leads() && sums.images == 0) throw Error(ErrorCode::data, "No image of the test data could be read.");
    return sums;
  }

  // Ends early where a rank is asked to stop.
  Statistics test() {
    const c10::NoGradGuard no_grad;
    // Running statistics are rank 0's, as in PyTorch's DistributedDataParallel.
    if (ranks_.size() > 1) share_weights();
    const auto settings = loader_options(options_, *network_);
    Feed loader(options_.test, settings, compute_);
    const int64_t size = options_.test->reader->size();
    ProgressMeter meter(context_, "test", size);
    Batch batch;
    Statistics sums;
    // Ranks may have a batch more or less than others; they look together whether to stop.
    const int64_t most = (size + ranks_.size() - 1) / ranks_.size();
    for (int64_t done = 0; done < most; done += settings.batchSize) {
      votes_.stop = context_.aborted() ? 1.0f : 0.0f;
      ranks_.sum(&votes_.stop, 1);
      if (votes_.stop > 0) break;
      scope_.pace();
      if (!loader.next(batch)) continue;
      const int64_t rows = batch.images.size(0);
      if (rows == 0) continue;
      const Autocast autocast(compute_);
      const auto logits = network_->forward(batch.images, false, {}).logits.to(at::kFloat);
      sums.add(batch_sums(at::cross_entropy_loss(logits, batch.labels), logits, batch.labels), rows);
      meter.add(rows * ranks_.size());
    }
    return sums;
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
  const Compute& compute_;
  DeviceScope scope_;
  JobContext& context_;
  Ranks& ranks_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<Ema> ema_;
  StateFile state_;
  Clock::time_point saved_ = Clock::now();
  Position position_;
  Votes votes_;
  std::shared_ptr<Nccl> nccl_;                    // where there are other ranks, on GPUs
  std::optional<Gradients> gradients_;            // where there are other ranks
  std::shared_ptr<const DeviceSquares> squares_;  // of a small set, for a GPU
  std::optional<TrainingStep> step_;
};

}  // namespace

TrainResult train(const TrainOptions& options, JobContext& context) {
  check_training(options);
  const Compute compute(options.device, options.precision);
  if (!options.evaluate) compute.require_gradients();
  use_threads(options.threads);
  const MemoryReuse reuse;
  if (!options.evaluate) check_memory(options, compute);
  Trainer trainer(options, compute, context);
  return options.evaluate ? trainer.evaluate() : trainer.run();
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
