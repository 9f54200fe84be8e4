// The steps are Pillow's (ImageOps.py, ImageEnhance.py, and Blend.c, Convert.c, Filter.c and Geometry.c of
// libImaging), with its types: float32 and float64 round otherwise, and so does another order of the same
// additions.
#include "data/pixel_ops.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numbers>
#include <utility>

namespace mode_ensemble {
namespace {

// 8-bit value → 8-bit value, for each channel.
using Table = std::array<std::array<uint8_t, 256>, 3>;
using Histogram = std::array<int64_t, 256>;

uint8_t clipped(int64_t value) { return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255)); }

// Pillow cuts fractions off, here and wherever a result becomes 8 bits.
template <typename Real>
uint8_t clipped(Real value) {
  return value <= 0 ? 0 : value >= 255 ? 255 : static_cast<uint8_t>(value);
}

template <typename Value>
void map(Image& image, Value value) {
  std::array<uint8_t, 256> table{};
  for (int v = 0; v < 256; ++v) table[v] = value(v);
  uint8_t* pixels = image.data();
  for (size_t i = 0; i < image.bytes(); ++i) pixels[i] = table[pixels[i]];
}

// Each channel by a table that is made of how often its values occur.
template <typename Make>
void map_channels(Image& image, Make make) {
  std::array<Histogram, 3> counts{};
  uint8_t* pixels = image.data();
  for (size_t i = 0; i < image.bytes(); i += 3)
    for (size_t c = 0; c < 3; ++c) ++counts[c][pixels[i + c]];
  Table table{};
  for (size_t c = 0; c < 3; ++c) make(counts[c], table[c]);
  for (size_t i = 0; i < image.bytes(); i += 3)
    for (size_t c = 0; c < 3; ++c) pixels[i + c] = table[c][pixels[i + c]];
}

void leave_as_is(std::array<uint8_t, 256>& table) {
  for (int v = 0; v < 256; ++v) table[v] = static_cast<uint8_t>(v);
}

// Image.blend: from `base`, which is what a factor of 0 gives, through `value` and beyond.
uint8_t blended(int base, int value, float factor) {
  return clipped(static_cast<float>(base) + factor * static_cast<float>(value - base));
}

// ITU-R 601-2 luma in 16-bit fixed point.
int luma(const uint8_t* pixel) {
  return static_cast<int>((pixel[0] * 19595u + pixel[1] * 38470u + pixel[2] * 7471u + 0x8000u) >> 16);
}

// ImageFilter.SMOOTH inside of the picture: of one channel of a pixel, in rows `stride` bytes apart.
uint8_t smoothed(const uint8_t* at, size_t stride) {
  constexpr float side = 1.0f / 13.0f, middle = 5.0f / 13.0f;
  const auto across = [](const uint8_t* row, float centre) {
    return static_cast<float>(row[-3]) * side + static_cast<float>(row[0]) * centre +
           static_cast<float>(row[3]) * side;
  };
  float sum = 0.5f;
  sum += across(at + stride, side);
  sum += across(at, middle);
  sum += across(at - stride, side);
  return clipped(sum);
}

// What lies between pixels: two or four of them in each direction, where those beyond an edge are the edge's.
struct Linear {
  static constexpr int taps = 2, before = 0;
  static double between(const double (&v)[2], double d) { return v[0] + (v[1] - v[0]) * d; }
};

// Keys' cubic with a = −1, where resizing has −0.5.
struct CubicBetween {
  static constexpr int taps = 4, before = 1;
  static double between(const double (&v)[4], double d) {
    const double p2 = -v[0] + v[2];
    const double p3 = 2 * (v[0] - v[1]) + v[2] - v[3];
    const double p4 = -v[0] + v[1] - v[2] + v[3];
    return v[1] + d * (p2 + d * (p3 + d * p4));
  }
};

template <typename Kernel>
void pixel_at(const Image& image, double x, double y, uint8_t* to) {
  constexpr int taps = Kernel::taps;
  const int left = static_cast<int>(std::floor(x)), top = static_cast<int>(std::floor(y));
  const size_t stride = size_t{3} * static_cast<size_t>(image.width);
  size_t columns[taps];
  const uint8_t* rows[taps];
  for (int k = 0; k < taps; ++k) {
    columns[k] = size_t{3} * static_cast<size_t>(std::clamp(left + k - Kernel::before, 0, image.width - 1));
    rows[k] = image.data() +
              stride * static_cast<size_t>(std::clamp(top + k - Kernel::before, 0, image.height - 1));
  }
  for (size_t c = 0; c < 3; ++c) {
    double down[taps];
    for (int r = 0; r < taps; ++r) {
      double across[taps];
      for (int k = 0; k < taps; ++k) across[k] = rows[r][columns[k] + c];
      down[r] = Kernel::between(across, x - left);
    }
    to[c] = clipped(Kernel::between(down, y - top));
  }
}

template <typename Kernel>
void transform_with(const Image& from, const std::array<double, 6>& m, const Rgb& outside, uint8_t* to) {
  for (int row = 0; row < from.height; ++row)
    for (int column = 0; column < from.width; ++column, to += 3) {
      const double across = column + 0.5, down = row + 0.5;
      const double x = m[0] * across + m[1] * down + m[2];
      const double y = m[3] * across + m[4] * down + m[5];
      if (x < 0 || x >= from.width || y < 0 || y >= from.height) {
        std::copy(outside.begin(), outside.end(), to);
      } else {
        pixel_at<Kernel>(from, x - 0.5, y - 0.5, to);
      }
    }
}

// As Python's round(value, 15): the nearest decimal, and the double nearest to that.
double rounded_to_15(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15f", value);
  return std::strtod(text, nullptr);
}

}  // namespace

void auto_contrast(Image& image) {
  map_channels(image, [](const Histogram& counts, std::array<uint8_t, 256>& table) {
    const auto occurs = [](int64_t count) { return count > 0; };
    const auto low = std::find_if(counts.begin(), counts.end(), occurs) - counts.begin();
    const auto high = counts.rend() - std::find_if(counts.rbegin(), counts.rend(), occurs) - 1;
    if (high <= low) return leave_as_is(table);
    const double scale = 255.0 / static_cast<double>(high - low);
    const double offset = static_cast<double>(-low) * scale;
    for (int v = 0; v < 256; ++v) table[v] = clipped(v * scale + offset);
  });
}

void equalize(Image& image) {
  map_channels(image, [](const Histogram& counts, std::array<uint8_t, 256>& table) {
    int64_t total = 0, last = 0;
    for (const int64_t count : counts) {
      total += count;
      if (count > 0) last = count;
    }
    // Also 0 where there is one value alone.
    const int64_t step = (total - last) / 255;
    if (step == 0) return leave_as_is(table);
    int64_t sum = step / 2;
    for (int v = 0; v < 256; ++v) {
      table[v] = clipped(sum / step);
      sum += counts[v];
    }
  });
}

void invert(Image& image) {
  map(image, [](int v) { return static_cast<uint8_t>(255 - v); });
}

void posterize(Image& image, int bits) {
  const int mask = 0xff00 >> bits & 0xff;
  map(image, [mask](int v) { return static_cast<uint8_t>(v & mask); });
}

void solarize(Image& image, int threshold) {
  map(image, [threshold](int v) { return static_cast<uint8_t>(v < threshold ? v : 255 - v); });
}

void solarize_add(Image& image, int add) {
  map(image, [add](int v) { return v < 128 ? clipped(int64_t{v} + add) : static_cast<uint8_t>(v); });
}

void saturate(Image& image, double factor) {
  const auto share = static_cast<float>(factor);
  uint8_t* pixels = image.data();
  for (uint8_t* at = pixels; at < pixels + image.bytes(); at += 3) {
    const int gray = luma(at);
    for (size_t c = 0; c < 3; ++c) at[c] = blended(gray, at[c], share);
  }
}

void change_contrast(Image& image, double factor) {
  int64_t sum = 0;
  const uint8_t* pixels = image.data();
  for (size_t i = 0; i < image.bytes(); i += 3) sum += luma(pixels + i);
  const double mean = static_cast<double>(sum) / (static_cast<double>(image.width) * image.height);
  map(image, [gray = static_cast<int>(mean + 0.5), share = static_cast<float>(factor)](int v) {
    return blended(gray, v, share);
  });
}

void brighten(Image& image, double factor) {
  map(image, [share = static_cast<float>(factor)](int v) { return blended(0, v, share); });
}

void sharpen(OpCanvas& canvas, double factor) {
  Image& image = canvas.image;
  const auto share = static_cast<float>(factor);
  const size_t stride = size_t{3} * static_cast<size_t>(image.width);
  uint8_t* out = canvas.spare.make(image.width, image.height);
  // The blurred picture has the edge as it is, and so has every blend with it.
  std::memcpy(out, image.data(), image.bytes());
  for (int y = 1; y < image.height - 1; ++y) {
    const uint8_t* row = image.data() + stride * static_cast<size_t>(y);
    uint8_t* to = out + stride * static_cast<size_t>(y);
    for (size_t i = 3; i + 3 < stride; ++i) to[i] = blended(smoothed(row + i, stride), row[i], share);
  }
  std::swap(canvas.image, canvas.spare);
}

void transform_affine(OpCanvas& canvas, const std::array<double, 6>& m, const Resampling& how) {
  const Image& from = canvas.image;
  uint8_t* to = canvas.spare.make(from.width, from.height);
  if (how.filter == Filter::bicubic) {
    transform_with<CubicBetween>(from, m, how.outside, to);
  } else {
    transform_with<Linear>(from, m, how.outside, to);
  }
  std::swap(canvas.image, canvas.spare);
}

void rotate(OpCanvas& canvas, double degrees, const Resampling& how) {
  if (degrees == 0) return;
  // Image.rotate takes the angle from 0 to 360 and rounds the matrix, so that right angles are exact.
  const double turned = degrees < 0 ? degrees + 360 : degrees;
  const double angle = -(turned * (std::numbers::pi / 180));
  const double cosine = rounded_to_15(std::cos(angle)), sine = rounded_to_15(std::sin(angle));
  const double x = canvas.image.width / 2.0, y = canvas.image.height / 2.0;
  transform_affine(
      canvas, {cosine, sine, cosine * -x + sine * -y + x, -sine, cosine, -sine * -x + cosine * -y + y}, how);
}

}  // namespace mode_ensemble
