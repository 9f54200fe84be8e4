// Worker threads turn images into network-ready batches, ahead of the network, in bounded memory.
#pragma once
#include <ATen/ATen.h>

#include <array>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "data/dataset.h"

namespace mode_ensemble {

struct Batch {
  at::Tensor images;  // [N, 3, S, S] float32, channels-last
  at::Tensor labels;  // [N] int64
};

struct LoaderOptions {
  TransformOptions transform;
  AugmentOptions augment;  // none where all is 0
  int64_t batchSize = 1;
  int64_t workers = 1;
  uint64_t seed = 0;  // of the random choices, which depend on (seed, epoch, index) alone
  uint64_t epoch = 0;
  bool shuffle = false;
};

// One pass over a set. Batches come in order, whatever the number of workers; the tensors of a batch stay
// valid until the next call. Memory: `workers + 2` batches.
class Loader {
 public:
  Loader(std::shared_ptr<const DataSet> data, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  int64_t batches() const { return batches_; }
  // False at the end. Throws what a worker threw when it read the batch's images. A batch from which bad
  // images were passed over is shorter, perhaps empty.
  bool next(Batch& batch);
  // Names of images passed over so far.
  std::vector<std::string> skipped() const;

 private:
  struct Slot {
    at::Tensor images, labels;
    int64_t rows = 0;
    bool ready = false;
    std::exception_ptr error;
  };

  void work();
  void fill(Slot& slot, int64_t batch);
  void prepare(const PixelView& image, int64_t index, float* to) const;

  std::shared_ptr<const DataSet> data_;
  LoaderOptions options_;
  std::vector<int64_t> order_;  // empty: data-set order
  int64_t batches_ = 0;
  std::array<std::array<float, 256>, 3> lookup_{};  // 8-bit value → normalised float, per channel
  std::vector<Slot> slots_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int64_t claimed_ = 0, consumed_ = 0;  // consumed: batches whose slots are free again
  bool holding_ = false, stop_ = false;
  std::vector<std::string> skipped_;
  std::vector<std::thread> threads_;
};

}  // namespace mode_ensemble
