// The speed of a large matrix product: the floor under what convolutions can take.
#pragma once
#include <cstdint>
#include <string>

#include "runtime/context.h"

namespace mode_ensemble {

struct GemmPeakOptions {
  int64_t size = 0;       // of the square matrices
  std::string precision;  // float32 | bfloat16
  int64_t threads = 0;
  double seconds = 0;  // at least this long, and at least three products
};

// 10⁹ multiplications and additions a second (2·size³ a product), of the fastest product.
double gemm_peak(const GemmPeakOptions& options, JobContext& context);

}  // namespace mode_ensemble
