#include "train/check.h"

#include <cmath>

#include "cuda/devices.h"
#include "models/graph_memory.h"
#include "runtime/error.h"
#include "runtime/free_memory.h"

namespace mode_ensemble {

void check_training(const TrainOptions& options) {
  const auto fail = [](const std::string& message) { throw Error(ErrorCode::config, message); };
  if (options.epochs < 1) fail("epochs: expected at least 1, found " + std::to_string(options.epochs) + ".");
  if (options.batchSize < 1)
    fail("batchSize: expected at least 1, found " + std::to_string(options.batchSize) + ".");
  if (options.batchSize % options.ranks->size() != 0)
    fail("batchSize: expected a multiple of the " + std::to_string(options.ranks->size()) +
         " ranks, which share it, found " + std::to_string(options.batchSize) + ".");
  if (options.schedule.cooldownEpochs >= options.epochs || options.schedule.warmupEpochs > options.epochs)
    fail("warmupEpochs, cooldownEpochs: expected no more warm-up than the " + std::to_string(options.epochs) +
         " epochs and less cool-down, found " + std::to_string(options.schedule.warmupEpochs) + " and " +
         std::to_string(options.schedule.cooldownEpochs) + ".");
  for (const auto& data : {options.train, options.test}) check_labels(*data->reader, options.arch.classes);
}

void check_labels(const Reader& reader, int64_t classes) {
  for (int64_t i = 0; i < reader.size(); ++i) {
    const int64_t label = reader.label(i);
    if (label < 0 || label >= classes)
      throw Error(ErrorCode::data, reader.name(i) + ": expected a label from 0 to " +
                                       std::to_string(classes - 1) + ", found " + std::to_string(label) +
                                       ".");
  }
}

// Linux gives memory that it does not have and kills whoever uses it; so this is said before.
void check_memory(const TrainOptions& options, const Compute& compute) {
  const int64_t there = compute.on_gpu() ? free_device_memory(compute.device) : free_memory();
  if (there == 0) return;
  const int64_t images = std::min(options.batchSize, options.train->reader->size()) / options.ranks->size();
  const double an_image =
      static_cast<double>(bytes_for_backward(options.arch, options.transform.crop, compute.type));
  if (an_image * static_cast<double>(images) <= static_cast<double>(there)) return;
  const auto gibibytes = [](double bytes) {
    return std::to_string(std::llround(bytes / (1 << 30))) + " GiB";
  };
  throw Error(ErrorCode::memory,
              "batchSize: a step of " + std::to_string(images) + " images takes more than " +
                  gibibytes(an_image * static_cast<double>(images)) + " of memory, and " +
                  gibibytes(static_cast<double>(there)) + " are free; at most " +
                  std::to_string(static_cast<int64_t>(static_cast<double>(there) / an_image)) +
                  " might fit.");
}

}  // namespace mode_ensemble
