// The loader's batches as tensors.
#pragma once
#include <ATen/ATen.h>

#include "data/loader.h"

namespace mode_ensemble {

struct Batch {
  at::Tensor images;  // [N, 3, S, S] of the type asked for, channels-last
  at::Tensor labels;  // [N] int64
  int64_t read = 0;   // N, and the bad images that were passed over
};

// Bfloat16 for a network that computes in it and would round the pixels first thing, else float32.
PixelType pixel_type_of(const std::string& precision, bool begins_with_convolution);

class TensorLoader {
 public:
  // `pinned`: the slots are page-locked, as a GPU wants them that copies them while it computes.
  TensorLoader(std::shared_ptr<const DataSet> data, const LoaderOptions& options, bool pinned = false);

  // As Loader::next. The tensors stay valid until the next call.
  bool next(Batch& batch);
  const Loader& loader() const { return loader_; }

 private:
  PixelType type_;
  int64_t side_;
  Loader loader_;
};

}  // namespace mode_ensemble
