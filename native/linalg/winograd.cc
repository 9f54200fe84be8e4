#include "linalg/winograd.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>

#include "linalg/instruction_set.h"

namespace mode_ensemble {
namespace {

// Transformed inputs that are worked on at a time; they should stay in the last level of cache.
constexpr int64_t kInputBytes = int64_t{3} << 20;
// The same where a call has one core alone: its second level.
constexpr int64_t kInputBytesOfCore = int64_t{900} << 10;
// Tiles that are multiplied with a panel of weights at a time; their sums should stay in a core's second
// level.
constexpr int64_t kTiles = 48;
// Floats between the ends of one point's numbers and the next one's, so that the 36 do not share the same few
// lines of cache.
constexpr int64_t kGap = 16;

// Not by at::empty, which profilers and meters of memory would take for a result.
at::DataPtr floats(int64_t count) {
  return at::getCPUAllocator()->allocate(sizeof(float) * static_cast<size_t>(count));
}

// G of six points and three weights: row j is [1, p, p²] divided by the product of p's distances to the other
// finite points; that of ∞ is [0, 0, 1].
std::array<std::array<double, 3>, 6> weight_transform() {
  const std::array<double, 5> points{0, kPointA, -kPointA, kPointB, -kPointB};
  std::array<std::array<double, 3>, 6> g{};
  for (size_t j = 0; j < points.size(); ++j) {
    double divisor = 1;
    for (size_t k = 0; k < points.size(); ++k)
      if (k != j) divisor *= points[j] - points[k];
    g[j] = {1 / divisor, points[j] / divisor, points[j] * points[j] / divisor};
  }
  g[5] = {0, 0, 1};
  return g;
}

}  // namespace

const WinogradKernels* winograd_kernels() {
  static const auto* const chosen = fastest(all_winograd_kernels());
  return chosen;
}

bool Winograd::serves(int64_t in, int64_t out) {
  return winograd_kernels() != nullptr && in % kWinogradChannels == 0 && out % kWinogradChannels == 0 &&
         std::min(in, out) >= kWinogradPanel;
}

Winograd::Winograd(const float* weight, int64_t in, int64_t out, const WinogradKernels* kernels)
    : in_(in), out_(out), panels_((out + kWinogradPanel - 1) / kWinogradPanel), kernels_(kernels) {
  // Not a vector, which would fill it with zeros first.
  weight_memory_ = floats(panels_ * kTilePoints * in * kWinogradPanel);
  weight_ = static_cast<float*>(weight_memory_.get());
  const auto g = weight_transform();
  // One input channel of a panel at a time, so that memory is written in runs.
  at::parallel_for(0, panels_ * in, 1, [&](int64_t begin, int64_t end) {
    // Of all outputs of a panel together.
    using Row = std::array<double, kWinogradPanel>;
    std::array<Row, 9> w;
    std::array<std::array<Row, 3>, 6> half;  // G·w
    for (int64_t item = begin; item < end; ++item) {
      const int64_t panel = item / in, c = item % in, first = panel * kWinogradPanel;
      for (auto& row : w) row.fill(0);
      for (int64_t o = first; o < std::min(out, first + kWinogradPanel); ++o)
        for (size_t t = 0; t < 9; ++t)
          w[t][static_cast<size_t>(o - first)] = weight[(o * in + c) * 9 + static_cast<int64_t>(t)];
      for (size_t i = 0; i < 6; ++i)
        for (size_t x = 0; x < 3; ++x)
          for (size_t o = 0; o < kWinogradPanel; ++o)
            half[i][x][o] = g[i][0] * w[x][o] + g[i][1] * w[3 + x][o] + g[i][2] * w[6 + x][o];
      float* to = weight_ + (panel * kTilePoints * in + c) * kWinogradPanel;
      for (size_t i = 0; i < 6; ++i)
        for (size_t j = 0; j < 6; ++j, to += in * kWinogradPanel)
          for (size_t o = 0; o < kWinogradPanel; ++o)
            to[o] = static_cast<float>(half[i][0][o] * g[j][0] + half[i][1][o] * g[j][1] +
                                       half[i][2][o] * g[j][2]);
    }
  });
}

void Winograd::run(const Call& call) const {
  const WinogradMap map{call.height, call.width, (call.height + kTileOut - 1) / kTileOut,
                        (call.width + kTileOut - 1) / kTileOut};
  const int64_t tiles = call.count * map.rows * map.columns;
  const int64_t point_bytes = kTilePoints * in_ * static_cast<int64_t>(sizeof(float));
  const int64_t most_bytes = call.beside_others ? kInputBytesOfCore : kInputBytes;
  const int64_t fitting = std::max(kTiles, most_bytes / point_bytes / kTiles * kTiles);
  const int64_t block = std::min(tiles, fitting);
  const int64_t step = block * in_ + kGap;
  const auto input_memory = floats(kTilePoints * step);
  float* const inputs = static_cast<float*>(input_memory.get());
  for (int64_t first = 0; first < tiles; first += block) {
    const int64_t count = std::min(block, tiles - first);
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      kernels_->input({call.images, call.half, in_}, map, first + begin, first + end, inputs + begin * in_,
                      step);
    });
    // By panels first, so that a thread reads few of the weights.
    const int64_t parts = (count + kTiles - 1) / kTiles;
    at::parallel_for(0, panels_ * parts, 1, [&](int64_t begin, int64_t end) {
      constexpr int64_t sum_step = kTiles * kWinogradPanel + kGap;
      const auto sum_memory = floats(kTilePoints * sum_step);
      float* const sums = static_cast<float*>(sum_memory.get());
      for (int64_t item = begin; item < end; ++item) {
        const int64_t panel = item / parts, channel = panel * kWinogradPanel;
        const int64_t from = item % parts * kTiles, to = std::min(count, from + kTiles);
        for (int64_t point = 0; point < kTilePoints; ++point)
          kernels_->product(inputs + point * step + from * in_,
                            weight_ + (panel * kTilePoints + point) * in_ * kWinogradPanel,
                            sums + point * sum_step, to - from, in_, kWinogradPanel);
        kernels_->output(
            {sums, sum_step, kWinogradPanel, first + from, first + to}, map,
            {call.out, call.half, call.step ? call.step : out_, channel,
             std::min(out_, channel + kWinogradPanel), call.bias, call.add, call.relu, call.mask});
      }
    });
  }
}

}  // namespace mode_ensemble
