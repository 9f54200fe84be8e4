// The inner loops of resampling: one for any machine, one for AVX2, with the same result to the last bit.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mode_ensemble {

// Weights are fixed-point numbers: 32 bits less the 8 of a pixel and 2 for sums that leave [0, 255]
// (PRECISION_BITS of libImaging/Resample.c).
inline constexpr int kWeightBits = 32 - 8 - 2;
// Rough weights fit into 16 bits, for which a vector needs one multiplication instead of two.
inline constexpr int kRoughBits = 14;

// For each place in the output: which places of the input it draws on, and with which weights.
struct Taps {
  int stride = 0;               // weights kept for each output, an even number; the unused ones are zero
  std::vector<int> first;       // [outputs], in the part of the input that is needed
  std::vector<int> count;       // [outputs]
  std::vector<int32_t> weight;  // [outputs, stride]
  // Exact: weight = high · 2^15 + low, 0 ≤ low < 2^15; the halves of two neighbours in one number, the first
  // below: what a multiplication of 16-bit pairs takes. Rough: low is the weight itself, and high is empty.
  std::vector<uint32_t> low, high;  // [outputs, stride / 2]
};

struct Kernels {
  // Each of `rows` rows of RGB pixels becomes one of taps.first.size() pixels. Up to kSlack bytes behind the
  // last row of both are read or written.
  void (*across)(const uint8_t* from, size_t from_stride, int rows, const Taps& taps, uint8_t* to,
                 size_t to_stride);
  // Output row `y` of `bytes` bytes out of the rows of `from`.
  void (*down)(const uint8_t* from, size_t from_stride, int bytes, const Taps& taps, int y, uint8_t* to);
};

struct ResizeKernels {
  Kernels exact, rough;
};

// The fastest that this machine can run.
const ResizeKernels& resize_kernels();
// For tests: those that run on any machine.
const ResizeKernels& portable_resize_kernels();

}  // namespace mode_ensemble
