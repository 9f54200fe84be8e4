#include "data/loader.h"

#include <algorithm>
#include <cstring>

#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// A worker takes a few images at a time: few enough that all workers share a batch, enough that taking them
// costs nothing beside images that are ready in memory.
constexpr int64_t kMostPartRows = 64;
constexpr int64_t kPartsPerWorker = 4;

std::shared_ptr<PixelCache> cache_of(const DataSet& data, const LoaderOptions& options) {
  const PrepareOptions& prepare = options.prepare;
  // A random box is resized anew each time.
  if (prepare.training && prepare.augment.crop == "resized") return nullptr;
  return data.kept->of(prepare.transform, data.reader->size(), options.keepDecoded);
}

}  // namespace

Loader::Loader(std::shared_ptr<const DataSet> data, const LoaderOptions& options,
               const AllocateSlot& allocate)
    : data_(std::move(data)),
      options_(options),
      sampler_(data_->reader->size(), options.sampler),
      cache_(cache_of(*data_, options)),
      preparation_(options.prepare, cache_.get()) {
  const int64_t batch = options_.batchSize;
  batches_ = (sampler_.size() + batch - 1) / batch;
  claimed_batch_ = consumed_ = std::clamp<int64_t>(options_.firstBatch, 0, batches_);
  const int64_t workers = std::clamp<int64_t>(options_.workers, 1, std::max<int64_t>(sampler_.size(), 1));
  part_rows_ = std::clamp<int64_t>(batch / (workers * kPartsPerWorker), 1, kMostPartRows);
  // One batch is the consumer's and one is ready while the workers share the next; more where the workers
  // take more than a batch at a time.
  const int64_t at_work = (workers * part_rows_ + batch - 1) / batch;
  slots_.resize(static_cast<size_t>(std::min<int64_t>(2 + at_work, std::max<int64_t>(batches_, 1))));
  const int64_t rows = std::min(batch, std::max<int64_t>(sampler_.size(), 1));
  for (Slot& slot : slots_) {
    slot.memory = allocate(rows, preparation_.bytes());
    slot.bad.resize(static_cast<size_t>(rows));
  }
  try {
    for (int64_t i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  } catch (...) {  // no more threads: those that began must end before their members go
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    free_.notify_all();
    for (auto& thread : threads_) thread.join();
    throw;
  }
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  free_.notify_all();
  for (auto& thread : threads_) thread.join();
}

int64_t Loader::rows_of(int64_t batch) const {
  return std::min(options_.batchSize, sampler_.size() - batch * options_.batchSize);
}

bool Loader::claim(Part& part) {
  std::unique_lock lock(mutex_);
  const auto slots = static_cast<int64_t>(slots_.size());
  free_.wait(lock, [&] { return stop_ || claimed_batch_ >= batches_ || claimed_batch_ < consumed_ + slots; });
  if (stop_ || claimed_batch_ >= batches_) return false;
  Slot& slot = slot_of(claimed_batch_);
  if (claimed_row_ == 0) {
    slot.rows = rows_of(claimed_batch_);
    slot.done = 0;
    std::fill(slot.bad.begin(), slot.bad.end(), 0);
    slot.skipped.clear();
    slot.error = nullptr;
    slot.times = {};
  }
  part = {claimed_batch_, claimed_row_, std::min(claimed_row_ + part_rows_, slot.rows)};
  claimed_row_ = part.end;
  if (claimed_row_ == slot.rows) {
    ++claimed_batch_;
    claimed_row_ = 0;
  }
  return true;
}

void Loader::work() {
  Workspace space;
  for (Part part; claim(part);) {
    space.times = {};
    fill(part, space);
    Slot& slot = slot_of(part.batch);
    const std::lock_guard lock(mutex_);
    slot.times.add(space.times);
    slot.done += part.end - part.begin;
    if (slot.done == slot.rows) ready_.notify_all();
  }
}

void Loader::fill(const Part& part, Workspace& space) {
  const Reader& reader = *data_->reader;
  Slot& slot = slot_of(part.batch);
  const size_t bytes = preparation_.bytes();
  for (int64_t row = part.begin; row < part.end; ++row) {
    const int64_t index = sampler_.at(part.batch * options_.batchSize + row);
    try {
      preparation_.run(reader, index, space,
                       static_cast<uint8_t*>(slot.memory.images) + bytes * static_cast<size_t>(row));
      slot.memory.labels[row] = reader.label(index);
      continue;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::data && data_->skipBadImages) {
        slot.bad[static_cast<size_t>(row)] = 1;
        BadImage skipped{reader.name(index), error.what()};
        const std::lock_guard lock(mutex_);
        slot.skipped.emplace_back(row, std::move(skipped));
        continue;
      }
      const std::lock_guard lock(mutex_);
      if (!slot.error || row < slot.error_row) slot.error = std::current_exception(), slot.error_row = row;
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!slot.error || row < slot.error_row) slot.error = std::current_exception(), slot.error_row = row;
    }
    return;  // the batch is lost
  }
}

// All parts of the slot are done, and no worker touches it.
void Loader::finish(Slot& slot) {
  times_.add(slot.times);
  if (slot.skipped.empty()) return;
  std::sort(slot.skipped.begin(), slot.skipped.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  skipped_count_ += static_cast<int64_t>(slot.skipped.size());
  for (auto& [row, skipped] : slot.skipped)
    if (skipped_.size() < kMostSkippedKept) skipped_.push_back(std::move(skipped));
  // The rows that are there move together.
  const size_t bytes = preparation_.bytes();
  auto* images = static_cast<uint8_t*>(slot.memory.images);
  int64_t kept = 0;
  for (int64_t row = 0; row < slot.rows; ++row) {
    if (slot.bad[static_cast<size_t>(row)]) continue;
    if (kept != row) {
      std::memcpy(images + bytes * static_cast<size_t>(kept), images + bytes * static_cast<size_t>(row),
                  bytes);
      slot.memory.labels[kept] = slot.memory.labels[row];
    }
    ++kept;
  }
  slot.rows = kept;
}

bool Loader::next(LoadedBatch& batch) {
  std::unique_lock lock(mutex_);
  if (holding_) {
    ++consumed_;
    holding_ = false;
    free_.notify_all();
  }
  if (consumed_ >= batches_) return false;
  Slot& slot = slot_of(consumed_);
  const int64_t read = rows_of(consumed_);
  // A slot is begun when its batch is claimed: until then its counts are those of the batch before it.
  ready_.wait(lock, [&] {
    const bool begun = claimed_batch_ > consumed_;
    return begun && slot.done == slot.rows;
  });
  lock.unlock();  // the workers have left this slot, and none takes it before it is given back
  if (slot.error) std::rethrow_exception(slot.error);
  finish(slot);
  holding_ = true;
  batch = {static_cast<size_t>(consumed_) % slots_.size(), slot.rows, read};
  return true;
}

}  // namespace mode_ensemble
