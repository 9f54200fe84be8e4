// Where a training or an extraction gets its batches from.
#pragma once
#include "data/tensor_loader.h"

namespace mode_ensemble {

class Batches {
 public:
  virtual ~Batches() = default;
  // As TensorLoader::next.
  virtual bool next(Batch& batch) = 0;
  virtual int64_t batches() const = 0;
  // Seconds that next() waited for images to be read and prepared.
  virtual double waited() const = 0;
};

}  // namespace mode_ensemble
