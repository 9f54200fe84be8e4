#include "linalg/winograd.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <vector>

#include "linalg/instruction_set.h"
#include "runtime/shares.h"

namespace mode_ensemble {
namespace {

// Where threads share a block of transformed inputs: its size, which should stay in the last level of cache.
constexpr int64_t kSharedBytes = int64_t{3} << 20;
// Tiles times panels that are multiplied at a time: their sums should stay in a core's second level.
constexpr int64_t kTiles = 48;
// Panels at a time where a thread has a block of its own, so that its inputs are read half as often.
constexpr int64_t kPanelsOfOwn = 2;
// Up to this size of all weights each thread has blocks of its own and goes through all weights with each:
// what one core has written is then not read by another, which takes longer than all else
// (docs/performance.md). Larger weights are read too slowly for that, and are divided among the threads.
constexpr int64_t kOwnWeightBytes = int64_t{10} << 20;

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
      {kTileIn, keeping_weights(), &WinogradKernels::keeping},
      {kSidePoints, strided_weights(0, 2), &WinogradKernels::halving},
      {kSidePoints, strided_weights(2, 0), &WinogradKernels::doubling},
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
  const Work work{call, map_of(call), kind_.points()};
  const int64_t tiles = call.count * work.map.rows * work.map.columns;
  const int64_t weight_bytes =
      panels_ * kWeights * in_ * kWinogradPanel * static_cast<int64_t>(sizeof(float));
  const int64_t panels = std::min(panels_, kPanelsOfOwn), block = kTiles / panels;
  const int64_t blocks = (tiles + block - 1) / block;
  const int64_t threads = call.beside_others || at::in_parallel_region() ? 1 : at::get_num_threads();
  // With few blocks some threads would have none, or most would wait for the last.
  const bool few = threads > 1 && blocks < 4 * threads;
  if (call.beside_others || (weight_bytes <= kOwnWeightBytes && !few))
    own(work, panels, block, tiles, threads);
  else
    shared(work, tiles);
}

void Winograd::own(const Work& work, int64_t panels, int64_t block, int64_t tiles, int64_t threads) const {
  const int64_t step = block * in_ + kGap;
  Shares shares((tiles + block - 1) / block, threads);
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    const auto input_memory = floats(work.points * step);
    const auto sum_memory = floats(panels * work.points * (block * kWinogradPanel + kGap));
    float* const inputs = static_cast<float*>(input_memory.get());
    for (int64_t thread = begin; thread < end; ++thread)
      for (int64_t item = shares.next(thread); item >= 0; item = shares.next(thread)) {
        const int64_t first = item * block, last = std::min(tiles, first + block);
        transform(work, first, last, inputs, step);
        for (int64_t panel = 0; panel < panels_; panel += panels)
          multiply(work, {panel, std::min(panels_, panel + panels), first, last, block}, inputs, step,
                   static_cast<float*>(sum_memory.get()));
      }
  });
}

void Winograd::shared(const Work& work, int64_t tiles) const {
  const int64_t tile_bytes = work.points * in_ * static_cast<int64_t>(sizeof(float));
  const int64_t block = std::min(tiles, std::max(kTiles, kSharedBytes / tile_bytes / kTiles * kTiles));
  const int64_t step = block * in_ + kGap;
  const auto input_memory = floats(work.points * step);
  float* const inputs = static_cast<float*>(input_memory.get());
  for (int64_t first = 0; first < tiles; first += block) {
    const int64_t count = std::min(block, tiles - first);
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      transform(work, first + begin, first + end, inputs + begin * in_, step);
    });
    // By panels first, so that a thread reads few of the weights.
    const int64_t parts = (count + kTiles - 1) / kTiles;
    const int64_t threads = at::get_num_threads();
    Shares shares(panels_ * parts, threads);
    at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
      const auto sum_memory = floats(work.points * (kTiles * kWinogradPanel + kGap));
      for (int64_t thread = begin; thread < end; ++thread)
        for (int64_t item = shares.next(thread); item >= 0; item = shares.next(thread)) {
          const int64_t panel = item / parts, from = item % parts * kTiles,
                        to = std::min(count, from + kTiles);
          multiply(work, {panel, panel + 1, first + from, first + to, kTiles}, inputs + from * in_, step,
                   static_cast<float*>(sum_memory.get()));
        }
    });
  }
}

void Winograd::transform(const Work& work, int64_t begin, int64_t end, float* to, int64_t step) const {
  const auto& call = work.call;
  (kernels_->*kind_.transforms).input({call.images, call.half, in_}, work.map, begin, end, to, step);
}

void Winograd::multiply(const Work& work, const Part& part, const float* inputs, int64_t step,
                        float* sums) const {
  const auto& call = work.call;
  const int64_t sum_step = part.most * kWinogradPanel + kGap;
  for (int64_t point = 0; point < work.points; ++point)
    for (int64_t panel = part.from; panel < part.to; ++panel)
      kernels_->product(inputs + point * step,
                        weight_ + (panel * kWeights + kind_.weight_of(point)) * in_ * kWinogradPanel,
                        sums + ((panel - part.from) * work.points + point) * sum_step, part.last - part.first,
                        in_, kWinogradPanel);
  for (int64_t panel = part.from; panel < part.to; ++panel) {
    const int64_t channel = panel * kWinogradPanel;
    (kernels_->*kind_.transforms)
        .output({sums + (panel - part.from) * work.points * sum_step, sum_step, kWinogradPanel, part.first,
                 part.last},
                work.map,
                {call.out, call.half, call.step ? call.step : out_, channel,
                 std::min(out_, channel + kWinogradPanel), call.bias, call.add, call.relu, call.mask,
                 call.add_even});
  }
}

}  // namespace mode_ensemble
