#include "data/load_pass.h"

#include <chrono>
#include <deque>

#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

// The slots of one pass serve the next one too, as a training's do.
class Slots {
 public:
  AllocateSlot allocate() {
    used_ = 0;
    return [this](int64_t rows, size_t bytes) {
      if (used_ == slots_.size()) slots_.emplace_back();
      Slot& slot = slots_[used_++];
      return SlotMemory{slot.images.make(static_cast<size_t>(rows) * bytes), labels_of(slot, rows), nullptr};
    };
  }

 private:
  struct Slot {
    PixelBuffer images;
    std::vector<int64_t> labels;
  };

  static int64_t* labels_of(Slot& slot, int64_t rows) {
    slot.labels.resize(static_cast<size_t>(rows));
    return slot.labels.data();
  }

  std::deque<Slot> slots_;  // stays where it is as it grows
  size_t used_ = 0;
};

}  // namespace

LoadPassResult load_pass(const LoadPassOptions& options, JobContext& context) {
  LoadPassResult result;
  Slots slots;
  Sha256 sum;
  const size_t bytes = Preparation(options.loader.prepare, nullptr).bytes();
  const auto start = std::chrono::steady_clock::now();
  for (int64_t pass = 0; pass < options.passes; ++pass) {
    LoaderOptions settings = options.loader;
    settings.prepare.epoch += static_cast<uint64_t>(pass);
    settings.sampler.epoch += static_cast<uint64_t>(pass);
    Loader loader(options.data, settings, slots.allocate());
    ProgressMeter meter(context, "load", loader.images());
    LoadedBatch batch;
    while (true) {
      context.throw_if_aborted();
      const auto asked = std::chrono::steady_clock::now();
      const bool more = loader.next(batch);
      result.waitSeconds += seconds_since(asked);
      if (!more) break;
      if (options.hash) {
        const SlotMemory& memory = loader.memory(batch.slot);
        sum.update(memory.labels, static_cast<size_t>(batch.rows) * sizeof(int64_t));
        sum.update(memory.images, static_cast<size_t>(batch.rows) * bytes);
      }
      result.count += batch.rows;
      meter.add(batch.read);
    }
    result.times.add(loader.times());
    result.skippedCount += loader.skipped_count();
    result.skipped = loader.skipped();
  }
  result.seconds = seconds_since(start);
  if (options.hash) result.sha256 = sum.hex();
  return result;
}

std::vector<uint32_t> hash_pixels(std::shared_ptr<const DataSet> data, const TransformOptions& transform,
                                  int64_t workers, JobContext& context) {
  LoaderOptions settings;
  settings.prepare.transform = transform;
  settings.prepare.type = PixelType::uint8;
  settings.batchSize = 256;
  settings.workers = workers;
  Slots slots;
  Loader loader(std::move(data), settings, slots.allocate());
  const size_t bytes = Preparation(settings.prepare, nullptr).bytes();
  ProgressMeter meter(context, "hash", loader.images());
  std::vector<uint32_t> hashes;
  LoadedBatch batch;
  while (loader.next(batch)) {
    context.throw_if_aborted();
    const auto* image = static_cast<const uint8_t*>(loader.memory(batch.slot).images);
    for (int64_t row = 0; row < batch.rows; ++row, image += bytes) {
      const std::string hex = sha256_hex(image, bytes);
      uint32_t hash = 0;  // the first byte of the sum is the lowest
      for (int byte = 3; byte >= 0; --byte)
        hash = hash << 8 | static_cast<uint32_t>(std::stoul(hex.substr(2 * byte, 2), nullptr, 16));
      hashes.push_back(hash);
    }
    meter.add(batch.read);
  }
  return hashes;
}

}  // namespace mode_ensemble
