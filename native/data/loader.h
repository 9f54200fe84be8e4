// Worker threads turn images into network-ready batches, ahead of the network, in bounded memory.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/dataset.h"
#include "data/prepare.h"
#include "data/sampler.h"

namespace mode_ensemble {

struct LoaderOptions {
  PrepareOptions prepare;
  SamplerOptions sampler;
  int64_t batchSize = 1;
  int64_t workers = 1;
  int64_t firstBatch = 0;  // those before it are not read
  // What comes before the random part of an image is kept for the next epoch where all of it takes at most so
  // many bytes.
  uint64_t keepDecoded = 0;
};

// Where the images and labels of a batch go. `owner` keeps both alive.
struct SlotMemory {
  void* images = nullptr;  // [rows, S, S, 3] of the type asked for
  int64_t* labels = nullptr;
  std::shared_ptr<void> owner;
};
// Memory for `rows` images of `bytes` each.
using AllocateSlot = std::function<SlotMemory(int64_t rows, size_t bytes)>;

struct LoadedBatch {
  size_t slot = 0;
  int64_t rows = 0;  // fewer than `read` where bad images were passed over, perhaps none
  int64_t read = 0;
};

// One pass over a set. Batches come in order and with the same content, whatever the number of workers.
// Memory: the slots, each a batch, and for each worker the image it decodes.
class Loader {
 public:
  static constexpr size_t kMostSkippedKept = 1000;

  Loader(std::shared_ptr<const DataSet> data, const LoaderOptions& options, const AllocateSlot& allocate);
  ~Loader();  // ends the workers, each after the image it is at
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  int64_t images() const { return sampler_.size(); }
  int64_t batches() const { return batches_; }
  const SlotMemory& memory(size_t slot) const { return slots_[slot].memory; }

  // The next batch, which stays valid until the next call. False at the end. Throws what reading the batch's
  // images threw, of its first bad image.
  bool next(LoadedBatch& batch);

  // The images passed over so far, the first kMostSkippedKept of them in the order of the stream.
  const std::vector<BadImage>& skipped() const { return skipped_; }
  int64_t skipped_count() const { return skipped_count_; }
  // Of all workers together, for the batches handed out.
  PrepareTimes times() const { return times_; }

 private:
  struct Slot {
    SlotMemory memory;
    int64_t rows = 0, done = 0;
    std::vector<uint8_t> bad;                           // [rows], 1 for an image that was passed over
    std::vector<std::pair<int64_t, BadImage>> skipped;  // with its row
    std::exception_ptr error;
    int64_t error_row = 0;
    PrepareTimes times;
  };
  struct Part {
    int64_t batch, begin, end;  // rows of the batch
  };

  void work();
  bool claim(Part& part);
  void fill(const Part& part, Workspace& space);
  void finish(Slot& slot);
  int64_t rows_of(int64_t batch) const;
  Slot& slot_of(int64_t batch) { return slots_[static_cast<size_t>(batch) % slots_.size()]; }

  std::shared_ptr<const DataSet> data_;
  LoaderOptions options_;
  Sampler sampler_;
  std::shared_ptr<PixelCache> cache_;
  Preparation preparation_;
  int64_t batches_ = 0;
  int64_t part_rows_ = 1;  // what a worker takes at a time
  std::vector<Slot> slots_;
  std::mutex mutex_;
  std::condition_variable free_, ready_;
  int64_t claimed_batch_ = 0, claimed_row_ = 0;
  int64_t consumed_ = 0;  // batches whose slots are free again
  bool holding_ = false, stop_ = false;
  std::vector<BadImage> skipped_;
  int64_t skipped_count_ = 0;
  PrepareTimes times_;
  std::vector<std::thread> threads_;
};

}  // namespace mode_ensemble
