// Reads and decodes every image of a set: what `data verify` does.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct VerifyOptions {
  std::shared_ptr<const DataSet> data;
  int64_t threads = 1;
};

struct VerifyResult {
  int64_t count = 0;  // images read, the bad ones among them
  int64_t badCount = 0;
  std::vector<BadImage> bad;  // the first 1,000, in data-set order
  int64_t bytes = 0;          // of the image files, or of pixels that lie in memory
  // Of the good images, each for itself; 0 where there is none.
  int64_t minWidth = 0, maxWidth = 0, minHeight = 0, maxHeight = 0;
  double seconds = 0;
};

// The same for any number of threads. Memory: an image a thread. Throws what is no fault of an image.
VerifyResult verify_data(const VerifyOptions& options, JobContext& context);

}  // namespace mode_ensemble
