// The three steps of Winograd's minimal filtering: inputs transformed, a matrix product for each point,
// outputs transformed back. Lavin and Gray, CVPR 2016, arXiv 1509.09308. For 3×3 convolutions
// - of stride 1: F(4×4, 3×3), tiles of 4×4 outputs from 6×6 inputs, 36 points, a quarter of the
//   multiplications of the convolution as it is written;
// - of stride 2: along each side the odd pixels meet two of the three weights and the even pixels one, F(4,
// 2)
//   and four products. Tiles of 4×4 outputs from 9×9 inputs, (5 + 4)² points, 81 multiplications for 144;
// - for the gradient of the input of the latter, where pixels at odd places get two terms and those at even
//   places one: tiles of 8×8 outputs from 5×5 inputs, and the same 81 points.
#pragma once
#include <cstdint>
#include <vector>

namespace mode_ensemble {

constexpr int64_t kTileOut = 4, kTileIn = 6;  // of stride 1
// Of stride 2: points of F(4, 2), and those of a side.
constexpr int64_t kOddPoints = 5, kSidePoints = kOddPoints + kTileOut;
// Output channels that a product yields at once, and of what the numbers of channels must be multiples.
constexpr int64_t kWinogradPanel = 32;
constexpr int64_t kWinogradChannels = 16;

// The interpolation points are 0, ±2/3, ±3/2 and ∞: with them the rounding error of float32 is 4.5 times that
// of a plain convolution, less than half of what 0, ±1, ±2 and ∞ give (scripts in test/parity compare).
// F(4, 2) has no 0.
constexpr double kPointA = 2.0 / 3, kPointB = 3.0 / 2;

struct WinogradMap {
  int64_t height = 0, width = 0;          // inputs are [height, width, channels]
  int64_t out_height = 0, out_width = 0;  // outputs likewise
  int64_t rows = 0, columns = 0;          // tiles
};

// Numbers of an image are float32, or bfloat16 where `half` is set; all else is float32.
struct WinogradInput {
  const void* at = nullptr;
  bool half = false;
  int64_t channels = 0;
};

// Products of the tiles `first` to `last`: at[p · step + (t − first) · row + c].
struct WinogradSums {
  const float* at = nullptr;
  int64_t step = 0, row = 0, first = 0, last = 0;
};

// Channels `from` to `to` of an output whose pixels are `channels` numbers apart: sums plus bias, plus `add`
// where there is one; then relu; then zero where `mask`, if there is one, is not above zero (a gradient's way
// back through relu). `add` and `mask` are laid out as the output.
struct WinogradOutput {
  void* at = nullptr;
  bool half = false;
  int64_t channels = 0, from = 0, to = 0;
  const float* bias = nullptr;
  const void* add = nullptr;
  bool relu = false;
  const void* mask = nullptr;
  // Added to the pixels at even places, where sides are redoubled: laid out as an output of half the sides.
  const void* add_even = nullptr;
};

// The transforms of one kind of convolution.
struct WinogradTransforms {
  // Images [N, H, W, C] → tiles `first` to `last` (counted over images, rows, columns), point by point:
  // out[p · step + (t − first) · C + c].
  void (*input)(const WinogradInput& images, const WinogradMap& map, int64_t first, int64_t last, float* out,
                int64_t step);
  void (*output)(const WinogradSums& sums, const WinogradMap& map, const WinogradOutput& out);
};

struct WinogradKernels {
  WinogradTransforms keeping;   // the side of maps: stride 1
  WinogradTransforms halving;   // stride 2
  WinogradTransforms doubling;  // the gradient of stride 2
  // a [count, inner] · b [inner, 32] → out [count, 32] with rows `row` floats apart.
  void (*product)(const float* a, const float* b, float* out, int64_t count, int64_t inner, int64_t row);
  const char* name;
};

// Those that this processor runs, the fastest first; none without AVX2.
std::vector<const WinogradKernels*> all_winograd_kernels();

}  // namespace mode_ensemble
