#include "linalg/winograd.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <vector>

#include "linalg/instruction_set.h"

namespace mode_ensemble {
namespace {

// Transformed inputs that are worked on at a time; they should stay in the last level of cache.
constexpr int64_t kInputBytes = int64_t{3} << 20;
// The same where a call has one core alone: its second level.
constexpr int64_t kInputBytesOfCore = int64_t{900} << 10;
// Floats between the ends of one point's numbers and the next one's, so that the 36 do not share the same few
// lines of cache.
constexpr int64_t kGap = 16;

// Matrices of weights.
constexpr int64_t kWeights = 36;

// Not by at::empty, which profilers and meters of memory would take for a result.
at::DataPtr floats(int64_t count) {
  return at::getCPUAllocator()->allocate(sizeof(float) * static_cast<size_t>(count));
}

using Rows = std::array<std::array<double, 3>, 6>;

// The product of a point's distances to the other finite ones.
double divisor_of(double point, const std::vector<double>& points) {
  double divisor = 1;
  for (const double other : points)
    if (other != point) divisor *= point - other;
  return divisor;
}

// G of F(4, 3)'s six points: row j is [1, p, p²] over p's divisor; that of ∞ is [0, 0, 1].
Rows keeping_weights() {
  const std::vector<double> points{0, kPointA, -kPointA, kPointB, -kPointB};
  Rows g{};
  for (size_t j = 0; j < points.size(); ++j) {
    const double p = points[j], divisor = divisor_of(p, points);
    g[j] = {1 / divisor, p / divisor, p * p / divisor};
  }
  g[5] = {0, 0, 1};
  return g;
}

// G of F(4, 2)'s five points, for the weights `near` (that of the first of two pixels) and `far`, and the row
// of the pixels that meet the middle weight alone.
Rows strided_weights(size_t near, size_t far) {
  const std::vector<double> points{kPointA, -kPointA, kPointB, -kPointB};
  Rows g{};
  for (size_t j = 0; j < points.size(); ++j) {
    const double p = points[j], divisor = divisor_of(p, points);
    g[j][near] = 1 / divisor;
    g[j][far] = p / divisor;
  }
  g[4][far] = 1;
  g[5][1] = 1;
  return g;
}

}  // namespace

const WinogradKernels* winograd_kernels() {
  static const auto* const chosen = fastest(all_winograd_kernels());
  return chosen;
}

struct Winograd::Kind {
  int64_t side;  // points of a side
  int64_t
      tiles;  // multiplied with a panel of weights at a time; their sums should stay in a core's second level
  Rows weights;  // Which of its rows a point takes: see weight_of.
  WinogradTransforms WinogradKernels::* transforms;

  int64_t points() const { return side * side; }
  // Points beyond F(4, 2)'s five share one row.
  int64_t weight_of(int64_t point) const {
    return std::min<int64_t>(point / side, 5) * 6 + std::min<int64_t>(point % side, 5);
  }
};

const Winograd::Kind& Winograd::kind_of(Sides sides) {
  static const std::array<Kind, 3> kinds{{
      {kTileIn, 48, keeping_weights(), &WinogradKernels::keeping},
      {kSidePoints, 24, strided_weights(0, 2), &WinogradKernels::halving},
      {kSidePoints, 24, strided_weights(2, 0), &WinogradKernels::doubling},
  }};
  return kinds[static_cast<size_t>(sides)];
}

bool Winograd::serves(int64_t in, int64_t out) {
  return winograd_kernels() != nullptr && in % kWinogradChannels == 0 && out % kWinogradChannels == 0 &&
         std::min(in, out) >= kWinogradPanel;
}

Winograd::Winograd(const float* weight, int64_t in, int64_t out, Sides sides, const WinogradKernels* kernels)
    : in_(in),
      out_(out),
      panels_((out + kWinogradPanel - 1) / kWinogradPanel),
      sides_(sides),
      kind_(kind_of(sides)),
      kernels_(kernels) {
  // Not a vector, which would fill it with zeros first.
  weight_memory_ = floats(panels_ * kWeights * in * kWinogradPanel);
  weight_ = static_cast<float*>(weight_memory_.get());
  const auto& g = kind_.weights;
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
      float* to = weight_ + (panel * kWeights * in + c) * kWinogradPanel;
      for (size_t i = 0; i < 6; ++i)
        for (size_t j = 0; j < 6; ++j, to += in * kWinogradPanel)
          for (size_t o = 0; o < kWinogradPanel; ++o)
            to[o] = static_cast<float>(half[i][0][o] * g[j][0] + half[i][1][o] * g[j][1] +
                                       half[i][2][o] * g[j][2]);
    }
  });
}

WinogradMap Winograd::map_of(const Call& call) const {
  WinogradMap map{call.height, call.width, call.height, call.width};
  if (sides_ == Sides::halve) {
    map.out_height = (call.height + 1) / 2;
    map.out_width = (call.width + 1) / 2;
  } else if (sides_ == Sides::redouble) {
    map.out_height = call.out_height;
    map.out_width = call.out_width;
  }
  map.rows = (std::min(map.height, map.out_height) + kTileOut - 1) / kTileOut;
  map.columns = (std::min(map.width, map.out_width) + kTileOut - 1) / kTileOut;
  return map;
}

void Winograd::run(const Call& call) const {
  const auto map = map_of(call);
  const auto& [input, output] = kernels_->*kind_.transforms;
  const int64_t points = kind_.points(), together = kind_.tiles;
  const int64_t tiles = call.count * map.rows * map.columns;
  const int64_t tile_bytes = points * in_ * static_cast<int64_t>(sizeof(float));
  const int64_t most_bytes = call.beside_others ? kInputBytesOfCore : kInputBytes;
  const int64_t fitting = std::max(together, most_bytes / tile_bytes / together * together);
  const int64_t block = std::min(tiles, fitting);
  const int64_t step = block * in_ + kGap;
  const auto input_memory = floats(points * step);
  float* const inputs = static_cast<float*>(input_memory.get());
  for (int64_t first = 0; first < tiles; first += block) {
    const int64_t count = std::min(block, tiles - first);
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      input({call.images, call.half, in_}, map, first + begin, first + end, inputs + begin * in_, step);
    });
    // By panels first, so that a thread reads few of the weights.
    const int64_t parts = (count + together - 1) / together;
    at::parallel_for(0, panels_ * parts, 1, [&](int64_t begin, int64_t end) {
      const int64_t sum_step = together * kWinogradPanel + kGap;
      const auto sum_memory = floats(points * sum_step);
      float* const sums = static_cast<float*>(sum_memory.get());
      for (int64_t item = begin; item < end; ++item) {
        const int64_t panel = item / parts, channel = panel * kWinogradPanel;
        const int64_t from = item % parts * together, to = std::min(count, from + together);
        for (int64_t point = 0; point < points; ++point)
          kernels_->product(inputs + point * step + from * in_,
                            weight_ + (panel * kWeights + kind_.weight_of(point)) * in_ * kWinogradPanel,
                            sums + point * sum_step, to - from, in_, kWinogradPanel);
        output({sums, sum_step, kWinogradPanel, first + from, first + to}, map,
               {call.out, call.half, call.step ? call.step : out_, channel,
                std::min(out_, channel + kWinogradPanel), call.bias, call.add, call.relu, call.mask,
                call.add_even});
      }
    });
  }
}

}  // namespace mode_ensemble
