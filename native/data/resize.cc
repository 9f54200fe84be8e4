// Resampling with antialiasing, bit for bit what Pillow's Image.resize does to 8-bit images
// (libImaging/Resample.c): a filter as wide as the reduction asks for, weights in 22-bit fixed point, rows
// first, then columns, rounded to 8 bits after each.
#include "data/resize.h"

#include <algorithm>
#include <cmath>

#include "data/reader.h"

namespace mode_ensemble {
namespace {

// 32 bits less the 8 of a pixel and 2 for sums that leave [0, 255] (PRECISION_BITS).
constexpr int kBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kBits - 1);

// For each place in the output: which places of the input it draws on, and with which weights.
struct Taps {
  int width = 0;                // weights kept for each output, the unused ones zero
  std::vector<int> first;       // [to]
  std::vector<int> count;       // [to]
  std::vector<int32_t> weight;  // [to, width]
};

double triangle(double x) { return x < 1.0 ? 1.0 - x : 0.0; }

// Keys' cubic with a = -0.5.
double cubic(double x) {
  constexpr double a = -0.5;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

struct Kernel {
  double support;
  double (*value)(double);  // of |x|
};

Kernel kernel_of(Filter filter) {
  return filter == Filter::bilinear ? Kernel{1.0, triangle} : Kernel{2.0, cubic};
}

// The expressions keep Pillow's form: another order of the same operations may round otherwise.
Taps make_taps(int from, int to, const Kernel& kernel) {
  const double scale = static_cast<double>(from) / to;
  const double stretch = std::max(scale, 1.0);  // when enlarging, the filter keeps its width
  const double support = kernel.support * stretch;
  const double shrink = 1.0 / stretch;

  Taps taps;
  taps.width = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.first.resize(to);
  taps.count.resize(to);
  taps.weight.assign(static_cast<size_t>(to) * taps.width, 0);
  std::vector<double> share(taps.width);
  for (int i = 0; i < to; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), from);
    double sum = 0;
    for (int k = 0; k < end - first; ++k) {
      share[k] = kernel.value(std::abs((k + first - center + 0.5) * shrink));
      sum += share[k];
    }
    taps.first[i] = first;
    taps.count[i] = end - first;
    for (int k = 0; k < end - first; ++k) {
      const double part = sum != 0 ? share[k] / sum : share[k];
      taps.weight[static_cast<size_t>(i) * taps.width + k] =
          static_cast<int32_t>((part < 0 ? -0.5 : 0.5) + part * (1 << kBits));
    }
  }
  return taps;
}

uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

void resize_row(const uint8_t* from, const Taps& taps, int width, uint8_t* to) {
  for (int x = 0; x < width; ++x, to += 3) {
    const uint8_t* pixel = from + size_t{3} * taps.first[x];
    const int32_t* weight = taps.weight.data() + static_cast<size_t>(x) * taps.width;
    int32_t r = kHalf, g = kHalf, b = kHalf;
    for (int k = 0; k < taps.count[x]; ++k, pixel += 3) {
      r += pixel[0] * weight[k];
      g += pixel[1] * weight[k];
      b += pixel[2] * weight[k];
    }
    to[0] = to_byte(r), to[1] = to_byte(g), to[2] = to_byte(b);
  }
}

}  // namespace

void resize_to(const PixelView& from, int width, int height, Filter filter, Image& to) {
  if (from.width == width && from.height == height) {
    to.width = width;
    to.height = height;
    const size_t bytes = size_t{3} * static_cast<size_t>(width);
    to.pixels.resize(bytes * static_cast<size_t>(height));
    for (int y = 0; y < height; ++y)
      std::copy_n(from.data + from.stride * y, bytes, to.pixels.data() + bytes * y);
    return;
  }
  PixelView source = from;
  Image narrow;  // [from.height, width, 3]
  if (from.width != width) {
    const Taps taps = make_taps(from.width, width, kernel_of(filter));
    narrow.pixels.resize(size_t{3} * width * from.height);
    for (int y = 0; y < from.height; ++y) {
      resize_row(from.data + from.stride * y, taps, width, narrow.pixels.data() + size_t{3} * width * y);
    }
    narrow.width = width;
    narrow.height = from.height;
    source = narrow.view();
  }
  to.width = width;
  to.height = height;
  if (from.height == height) {
    to.pixels = std::move(narrow.pixels);
    return;
  }
  const size_t row = size_t{3} * width;
  const Taps taps = make_taps(from.height, height, kernel_of(filter));
  std::vector<int32_t> sums(row);
  to.pixels.resize(row * height);
  for (int y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), kHalf);
    for (int k = 0; k < taps.count[y]; ++k) {
      const uint8_t* line = source.data + source.stride * (taps.first[y] + k);
      const int32_t weight = taps.weight[static_cast<size_t>(y) * taps.width + k];
      for (size_t i = 0; i < row; ++i) sums[i] += line[i] * weight;
    }
    for (size_t i = 0; i < row; ++i) to.pixels[row * y + i] = to_byte(sums[i]);
  }
}

}  // namespace mode_ensemble
