// Training batches of a small set whose decoded squares lie in the GPU's memory: crop, flip and normalising
// take place there, with the draws and the arithmetic of the loader, so the pixels are the same bits.
#pragma once
#include <memory>

#include "cuda/squares_kernel.h"
#include "data/batches.h"
#include "runtime/compute.h"
#include "runtime/context.h"

namespace mode_ensemble {

// The squares of all images, as they are before anything random.
class DeviceSquares {
 public:
  // Null where the loader has to make the images: they are changed in other ways too, take more than `most`
  // bytes, or some of them are bad. `options`: of a training.
  static std::shared_ptr<const DeviceSquares> load(const std::shared_ptr<const DataSet>& data,
                                                   const LoaderOptions& options, const Compute& compute,
                                                   int64_t most, JobContext& context);

  at::Tensor pixels;  // [N, S, S, 3] uint8
  at::Tensor labels;  // [N] int64
};

// One epoch.
class SquareBatches final : public Batches {
 public:
  SquareBatches(std::shared_ptr<const DeviceSquares> squares, const LoaderOptions& options);

  bool next(Batch& batch) override;
  int64_t batches() const override { return batches_; }
  double waited() const override { return 0; }

 private:
  std::shared_ptr<const DeviceSquares> squares_;
  int64_t batch_size_, rows_ = 0, batches_ = 0, next_ = 0;
  at::Tensor lookup_;  // [3, 256], of the type that the network reads
  at::Tensor moves_;   // [rows, 4] int32: SquareMove
  at::Tensor labels_;  // [rows]
};

}  // namespace mode_ensemble
