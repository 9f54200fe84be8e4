// Which images a rank sees in an epoch, and in which order.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/random.h"

namespace mode_ensemble {

struct SamplerOptions {
  bool shuffle = false;
  uint64_t seed = 0;  // the order is a function of (seed, epoch) alone, the same on all ranks
  uint64_t epoch = 0;
  // Rank r of R takes places r, r + R, r + 2R, … of the order.
  int64_t rank = 0;
  int64_t ranks = 1;
  // Every rank takes as many images; the last ones begin at the start of the order again. For training, where
  // ranks step together; otherwise each image is seen once.
  bool evenShards = false;
};

class Sampler {
 public:
  Sampler(int64_t images, const SamplerOptions& options) : images_(images), options_(options) {
    const int64_t ranks = options.ranks;
    const int64_t left = images - options.rank;
    size_ = options.evenShards ? (images + ranks - 1) / ranks : left > 0 ? (left + ranks - 1) / ranks : 0;
    if (images == 0) size_ = 0;
    if (options.shuffle) order_ = permutation(images, RandomStream(options.seed, "shuffle", options.epoch));
  }

  int64_t size() const { return size_; }

  int64_t at(int64_t i) const {
    const int64_t place = (options_.rank + i * options_.ranks) % images_;
    return order_.empty() ? place : order_[static_cast<size_t>(place)];
  }

 private:
  int64_t images_, size_ = 0;
  SamplerOptions options_;
  std::vector<int64_t> order_;  // empty: data-set order
};

}  // namespace mode_ensemble
