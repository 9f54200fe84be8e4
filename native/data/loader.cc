#include "data/loader.h"

#include <algorithm>

#include "data/decode.h"
#include "data/transform.h"
#include "runtime/error.h"
#include "runtime/random.h"

namespace mode_ensemble {

Loader::Loader(std::shared_ptr<const DataSet> data, LoaderOptions options)
    : data_(std::move(data)), options_(options) {
  const int64_t size = data_->reader->size();
  batches_ = (size + options_.batchSize - 1) / options_.batchSize;
  if (options_.shuffle) order_ = permutation(size, RandomStream(options_.seed, "shuffle", options_.epoch));
  // The float32 steps of torchvision's ToTensor and Normalize: v / 255, − mean, / std.
  for (int c = 0; c < 3; ++c)
    for (int v = 0; v < 256; ++v)
      lookup_[c][v] = (static_cast<float>(v) / 255.0f - static_cast<float>(options_.transform.mean[c])) /
                      static_cast<float>(options_.transform.std[c]);
  const int64_t side = options_.transform.crop;
  const int64_t workers = std::max<int64_t>(1, std::min(options_.workers, batches_));
  slots_.resize(static_cast<size_t>(workers + 2));
  const int64_t rows = std::min(options_.batchSize, std::max<int64_t>(size, 1));
  for (auto& slot : slots_) {
    slot.images =
        at::empty({rows, 3, side, side}, at::TensorOptions().memory_format(at::MemoryFormat::ChannelsLast));
    slot.labels = at::empty({rows}, at::kLong);
  }
  for (int64_t i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Loader::work() {
  const auto slots = static_cast<int64_t>(slots_.size());
  while (true) {
    int64_t batch = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || claimed_ >= batches_ || claimed_ < consumed_ + slots; });
      if (stop_ || claimed_ >= batches_) return;
      batch = claimed_++;
    }
    Slot& slot = slots_[static_cast<size_t>(batch % slots)];
    slot.error = nullptr;
    try {
      fill(slot, batch);
    } catch (...) {
      slot.error = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      slot.ready = true;
    }
    changed_.notify_all();
  }
}

bool Loader::next(Batch& batch) {
  std::unique_lock lock(mutex_);
  const auto slots = static_cast<int64_t>(slots_.size());
  if (holding_) {
    slots_[static_cast<size_t>(consumed_ % slots)].ready = false;
    ++consumed_;
    holding_ = false;
    changed_.notify_all();
  }
  if (consumed_ >= batches_) return false;
  Slot& slot = slots_[static_cast<size_t>(consumed_ % slots)];
  changed_.wait(lock, [&] { return slot.ready; });
  if (slot.error) std::rethrow_exception(slot.error);
  holding_ = true;
  batch.images = slot.images.narrow(0, 0, slot.rows);
  batch.labels = slot.labels.narrow(0, 0, slot.rows);
  return true;
}

std::vector<std::string> Loader::skipped() const {
  const std::lock_guard lock(mutex_);
  return skipped_;
}

void Loader::fill(Slot& slot, int64_t batch) {
  const Reader& reader = *data_->reader;
  const int64_t first = batch * options_.batchSize;
  const int64_t last = std::min(first + options_.batchSize, reader.size());
  const int64_t side = options_.transform.crop;
  float* images = slot.images.mutable_data_ptr<float>();
  int64_t* labels = slot.labels.mutable_data_ptr<int64_t>();
  Sample sample;
  Image image, sized;
  slot.rows = 0;
  for (int64_t i = first; i < last; ++i) {
    const int64_t index = order_.empty() ? i : order_[static_cast<size_t>(i)];
    PixelView ready;
    try {
      reader.fetch(index, sample);
      const std::string name = sample.pixels.data ? std::string() : reader.name(index);
      ready = pixels_of(name, sample, image);
      if (ready.width != side || ready.height != side || options_.transform.resize != side) {
        apply_transform(ready, options_.transform, reader.name(index), sized);
        ready = sized.view();
      }
    } catch (const Error& error) {
      if (error.code() != ErrorCode::data || !data_->skipBadImages) throw;
      const std::lock_guard lock(mutex_);
      skipped_.push_back(reader.name(index));
      continue;
    }
    prepare(ready, index, images + slot.rows * side * side * 3);
    labels[slot.rows++] = reader.label(index);
  }
}

// to: [S, S, 3]. Random crop and flip as torchvision's RandomCrop(S, padding) and RandomHorizontalFlip: the
// padding is black before normalisation.
void Loader::prepare(const PixelView& image, int64_t index, float* to) const {
  const int64_t side = options_.transform.crop;
  const int64_t padding = options_.augment.cropPadding;
  int64_t dx = 0, dy = 0;
  bool flip = false;
  if (padding > 0 || options_.augment.flip) {
    RandomStream random(options_.seed, "augment", options_.epoch, static_cast<uint64_t>(index));
    dx = static_cast<int64_t>(random.below(static_cast<uint32_t>(2 * padding + 1))) - padding;
    dy = static_cast<int64_t>(random.below(static_cast<uint32_t>(2 * padding + 1))) - padding;
    flip = options_.augment.flip && (random.next() >> 63) != 0;
  }
  for (int64_t y = 0; y < side; ++y) {
    const int64_t from_y = y + dy;
    const bool inside_y = from_y >= 0 && from_y < side;
    const uint8_t* row = image.data + static_cast<size_t>(inside_y ? from_y : 0) * image.stride;
    for (int64_t x = 0; x < side; ++x, to += 3) {
      const int64_t from_x = (flip ? side - 1 - x : x) + dx;
      const bool inside = inside_y && from_x >= 0 && from_x < side;
      for (int c = 0; c < 3; ++c) to[c] = lookup_[c][inside ? row[from_x * 3 + c] : 0];
    }
  }
}

}  // namespace mode_ensemble
