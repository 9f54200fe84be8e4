#include "train/train.h"

#include <cmath>

#include "checkpoint/weights.h"
#include "data/tensor_loader.h"
#include "models/network.h"
#include "runtime/device.h"
#include "runtime/memory.h"
#include "runtime/random.h"
#include "train/sgd.h"

namespace mode_ensemble {
namespace {

using Clock = std::chrono::steady_clock;

struct Part {
  double loss = 0;
  double accuracy = 0;  // percent
  double seconds = 0;
  double waited = 0;  // seconds
  int64_t images = 0;
};

void check(const TrainOptions& options) {
  const auto fail = [](const std::string& message) { throw Error(ErrorCode::config, message); };
  if (options.epochs < 1) fail("epochs: expected at least 1, found " + std::to_string(options.epochs) + ".");
  if (options.batchSize < 1)
    fail("batchSize: expected at least 1, found " + std::to_string(options.batchSize) + ".");
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

LoaderOptions training_loader_options(const TrainOptions& options, const Network& network, int64_t epoch) {
  auto loader = loader_options(options, network);
  loader.prepare.training = true;
  loader.prepare.augment = options.augment;
  loader.prepare.decode = options.decode == "fast" ? DecodeMode::fast : DecodeMode::exact;
  loader.prepare.seed = loader.sampler.seed = static_cast<uint64_t>(options.seed);
  loader.prepare.epoch = loader.sampler.epoch = static_cast<uint64_t>(epoch);
  loader.sampler.shuffle = true;
  return loader;
}

Part train_epoch(Network& network, Sgd& sgd, const TrainOptions& options, int64_t epoch, double rate,
                 JobContext& context) {
  Part part;
  const auto start = Clock::now();
  TensorLoader loader(options.train, training_loader_options(options, network, epoch));
  ProgressMeter meter(context, "train", options.train->reader->size());
  Batch batch;
  auto loss_sum = at::zeros({}, at::kDouble);
  while (true) {
    const auto asked = Clock::now();
    if (!loader.next(batch)) break;
    part.waited += seconds_since(asked);
    context.throw_if_aborted();
    const int64_t rows = batch.images.size(0);
    if (rows == 0) continue;
    at::Tensor loss;
    {
      const Autocast autocast(options.precision);
      loss =
          at::cross_entropy_loss(network.forward(batch.images, true, {}).logits.to(at::kFloat), batch.labels);
    }
    loss.backward();
    sgd.step(rate);
    loss_sum.add_(loss.detach(), static_cast<double>(rows));
    part.images += rows;
    meter.add(rows);
  }
  part.seconds = seconds_since(start);
  if (part.images == 0) throw Error(ErrorCode::data, "No image of the training data could be read.");
  part.loss = loss_sum.item<double>() / static_cast<double>(part.images);
  return part;
}

Part test_epoch(Network& network, const TrainOptions& options, JobContext& context) {
  const c10::NoGradGuard no_grad;
  Part part;
  const auto start = Clock::now();
  TensorLoader loader(options.test, loader_options(options, network));
  ProgressMeter meter(context, "test", options.test->reader->size());
  Batch batch;
  int64_t right = 0;
  while (loader.next(batch)) {
    context.throw_if_aborted();
    const int64_t rows = batch.images.size(0);
    if (rows == 0) continue;
    const Autocast autocast(options.precision);
    const auto logits = network.forward(batch.images, false, {}).logits;
    right += logits.argmax(1).eq(batch.labels).sum().item<int64_t>();
    part.images += rows;
    meter.add(rows);
  }
  part.seconds = seconds_since(start);
  if (part.images == 0) throw Error(ErrorCode::data, "No image of the test data could be read.");
  part.accuracy = 100.0 * static_cast<double>(right) / static_cast<double>(part.images);
  return part;
}

}  // namespace

TrainResult train(const TrainOptions& options, JobContext& context) {
  check(options);
  use_threads(options.threads);
  const MemoryReuse reuse;
  auto network = make_network(options.arch, {Init::seeded, static_cast<uint64_t>(options.seed)});
  network->seed_dropout(RandomStream(static_cast<uint64_t>(options.seed), "dropout").next());
  network->to_channels_last();
  network->require_gradients(true);
  Sgd sgd(network->parameters(), {options.momentum, options.weightDecay, options.nesterov});
  TrainResult result;
  double training_seconds = 0;
  int64_t images = 0;
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const double rate = cosine_rate(options.learningRate, epoch, options.epochs);
    const Part trained = train_epoch(*network, sgd, options, epoch, rate, context);
    if (!std::isfinite(trained.loss))
      throw Error(ErrorCode::numeric, "The training loss of epoch " + std::to_string(epoch + 1) +
                                          " is not finite; a smaller learning rate may help.");
    const Part tested = test_epoch(*network, options, context);
    training_seconds += trained.seconds;
    images += trained.images;
    result.loss = trained.loss;
    result.accuracy = tested.accuracy;
    result.seconds += trained.seconds + tested.seconds;
    EpochReport report;
    report.epoch = epoch + 1;
    report.epochs = options.epochs;
    report.loss = trained.loss;
    report.learningRate = rate;
    report.accuracy = tested.accuracy;
    report.seconds = trained.seconds + tested.seconds;
    report.imagesPerSecond = static_cast<double>(trained.images) / trained.seconds;
    report.dataWait = trained.waited / trained.seconds;
    context.report(report);
  }
  result.imagesPerSecond = static_cast<double>(images) / training_seconds;
  context.throw_if_aborted();
  save_weights(*network, options.checkpoint, options.metadata);
  return result;
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
