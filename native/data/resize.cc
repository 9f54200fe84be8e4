// Pillow's steps (libImaging/Resample.c): a filter as wide as the reduction asks for, weights in 22-bit fixed
// point, rows first, then columns, rounded to 8 bits after each; a direction whose size stays is left out.
#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

namespace mode_ensemble {
namespace {

struct Triangle {
  static constexpr double support = 1.0;
  static double value(double x) { return x < 1.0 ? 1.0 - x : 0.0; }  // of |x|
};

// Keys' cubic with a = -0.5.
struct Cubic {
  static constexpr double support = 2.0;
  static double value(double x) {
    constexpr double a = -0.5;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
  }
};

uint32_t pair(int32_t first, int32_t second) {
  return (static_cast<uint32_t>(first) & 0xffff) | static_cast<uint32_t>(second) << 16;
}

// The taps of outputs [begin, begin + size) where `from` places become `to`. The expressions keep Pillow's
// form: another order of the same operations may round otherwise.
template <typename Kernel>
void make_taps(int from, int to, int begin, int size, bool rough, Taps& taps) {
  const int bits = rough ? kRoughBits : kWeightBits;
  const double scale = static_cast<double>(from) / to;
  const double stretch = std::max(scale, 1.0);  // when enlarging, the filter keeps its width
  const double support = Kernel::support * stretch;
  const double shrink = 1.0 / stretch;

  const int widest = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.stride = widest + widest % 2;
  taps.first.resize(size);
  taps.count.resize(size);
  taps.weight.assign(static_cast<size_t>(size) * taps.stride, 0);
  thread_local std::vector<double> share;
  share.resize(taps.stride);
  for (int i = 0; i < size; ++i) {
    const double center = (begin + i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), from);
    double sum = 0;
    for (int k = 0; k < end - first; ++k) {
      share[k] = Kernel::value(std::abs((k + first - center + 0.5) * shrink));
      sum += share[k];
    }
    taps.first[i] = first;
    taps.count[i] = end - first;
    for (int k = 0; k < end - first; ++k) {
      const double part = sum != 0 ? share[k] / sum : share[k];
      taps.weight[static_cast<size_t>(i) * taps.stride + k] =
          static_cast<int32_t>((part < 0 ? -0.5 : 0.5) + part * (1 << bits));
    }
  }
  taps.low.resize(taps.weight.size() / 2);
  taps.high.resize(rough ? 0 : taps.weight.size() / 2);
  for (size_t k = 0; k < taps.low.size(); ++k) {
    const int32_t a = taps.weight[2 * k], b = taps.weight[2 * k + 1];
    if (rough) {
      taps.low[k] = pair(a, b);
      continue;
    }
    taps.low[k] = pair(a & 0x7fff, b & 0x7fff);
    taps.high[k] = pair(a >> 15, b >> 15);
  }
}

void make_taps(int from, int to, int begin, int size, Filter filter, bool rough, Taps& taps) {
  if (filter == Filter::bilinear) return make_taps<Triangle>(from, to, begin, size, rough, taps);
  make_taps<Cubic>(from, to, begin, size, rough, taps);
}

// Makes `first` count from the first place that is needed. Returns that place and how many are.
std::pair<int, int> from_first_needed(Taps& taps) {
  const int begin = *std::min_element(taps.first.begin(), taps.first.end());
  int end = begin;
  for (size_t i = 0; i < taps.first.size(); ++i) {
    end = std::max(end, taps.first[i] + taps.count[i]);
    taps.first[i] -= begin;
  }
  return {begin, end - begin};
}

}  // namespace

void Resampler::plan(int source_width, int source_height, int width, int height, const Region& window,
                     Filter filter, bool rough) {
  kernels_ = rough ? &all_.rough : &all_.exact;
  window_ = needed_ = window;
  same_width_ = source_width == width;
  same_height_ = source_height == height;
  if (!same_width_) {
    make_taps(source_width, width, window.left, window.width, filter, rough, columns_);
    std::tie(needed_.left, needed_.width) = from_first_needed(columns_);
  }
  if (!same_height_) {
    make_taps(source_height, height, window.top, window.height, filter, rough, rows_);
    std::tie(needed_.top, needed_.height) = from_first_needed(rows_);
  }
}

void Resampler::run(const PixelView& from, uint8_t* to) {
  const size_t row = size_t{3} * static_cast<size_t>(window_.width);
  PixelView source = from;
  if (!same_width_) {
    const size_t stride = row + 16;  // vectors write over the end of a row
    uint8_t* narrow = narrow_.make(stride * static_cast<size_t>(from.height));
    kernels_->across(from.data, from.stride, from.height, columns_, narrow, stride);
    source = {narrow, window_.width, from.height, stride};
  }
  for (int y = 0; y < window_.height; ++y) {
    uint8_t* out = to + row * static_cast<size_t>(y);
    if (same_height_) {
      std::memcpy(out, source.data + source.stride * static_cast<size_t>(y), row);
    } else {
      kernels_->down(source.data, source.stride, static_cast<int>(row), rows_, y, out);
    }
  }
}

}  // namespace mode_ensemble
