// The passes over memory of a batch norm in training, channels-last: x is [rows, C], C a multiple of
// kNormChannels; float32, or bfloat16 where `half` is set. What belongs to channels is float32 or float64.
#pragma once
#include <cstdint>
#include <vector>

namespace mode_ensemble {

constexpr int64_t kNormChannels = 16;

// Rows `first` to `last` of a batch. Pointers that an operation does not name may be null.
struct NormRows {
  bool half = false;
  int64_t channels = 0, first = 0, last = 0;
  const void* x = nullptr;
  // y = x·scale + offset, plus `add` where there is one; then ReLU.
  const float* scale = nullptr;
  const float* offset = nullptr;
  bool relu = false;
  const void* add = nullptr;
  void* y = nullptr;
  // The gradient of y. Behind a ReLU it counts where y is above 0: y is looked up where `y` is given (it must
  // be where something was added), and else computed again.
  const void* gradient = nullptr;
};

// Writes scale·g − (slope·x + level) to `of_x`, and to `of_add`, where it is given, g: the gradient as far as
// it counts.
struct NormGradient {
  const float* slope = nullptr;
  const float* level = nullptr;
  void* of_x = nullptr;
  void* of_add = nullptr;
};

struct NormKernels {
  // Adds the sums of x − shift and of its square, for each channel.
  void (*moments)(const NormRows& rows, const float* shift, double* sums, double* squares);
  // Writes y.
  void (*apply)(const NormRows& rows);
  // Adds the sums of the gradient and of the gradient times x − mean, for each channel.
  void (*gradient_sums)(const NormRows& rows, const float* mean, double* sums, double* products);
  void (*gradient)(const NormRows& rows, const NormGradient& how);
  const char* name;
};

// Those that this processor runs, the fastest first; none without AVX2.
std::vector<const NormKernels*> all_norm_kernels();

}  // namespace mode_ensemble
