// What a dense block is made of besides its 3×3 convolutions: batch norm and ReLU of the first channels of
// rows that are longer, and products with panels of weights. All numbers of maps are of one type: float32, or
// bfloat16 for kernels whose processor multiplies it.
#pragma once
#include <cstdint>
#include <vector>

namespace mode_ensemble {

// Output channels that a product yields at once, and of what numbers of channels must be multiples.
constexpr int64_t kDensePanel = 32;

// `count` rows of `channels` numbers, `step` numbers from one row to the next.
struct DenseRows {
  const void* at = nullptr;
  int64_t step = 0, count = 0, channels = 0;
  const float* scale = nullptr;
  const float* offset = nullptr;
  bool relu = false;
};

// One panel of outputs: 32 numbers of each row, `step` numbers from one row to the next.
struct DenseOutput {
  void* at = nullptr;
  int64_t step = 0;
  const float* bias = nullptr;  // [32]
  bool relu = false;
};

struct DenseKernels {
  // x·scale + offset, then ReLU → out [count, channels], dense.
  void (*normalise)(const DenseRows& x, void* out);
  // The same, averaged over squares of 2×2 → out [count, channels]. Rows are the pixels of an image `width`
  // wide; `count` counts squares from the image's first one, `first`.
  void (*pool)(const DenseRows& x, int64_t width, int64_t first, void* out);
  // a [count, inner], dense, · panel → out, with bias and ReLU. A panel holds for every `depth` inner
  // channels those of each output together: [inner/depth, 32, depth].
  void (*multiply)(const void* a, const void* panel, int64_t count, int64_t inner, const DenseOutput& out);
  // Adds to the gradient of x, in rows as x's, what that of `normalise`'s result, dense, gives.
  void (*gradient)(const DenseRows& x, const void* of_result, void* of_x);
  bool half;
  int64_t depth;  // 2 for bfloat16, else 1
  const char* name;
};

// Those that this processor runs, the fastest first. In bfloat16 there are kernels only for AVX-512 with
// products of bfloat16 and without AMX, which multiplies faster than they do.
std::vector<const DenseKernels*> all_dense_kernels(bool half);

}  // namespace mode_ensemble
