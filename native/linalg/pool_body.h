// The kernels of pool_kernels.h for vectors of LANES floats; included by a file for each instruction set.
#include "linalg/pool_kernels.h"
#include "linalg/vector_body.h"

namespace mode_ensemble {
namespace {

// Pixels are summed by so many, and then their sums, so that rounding stays small.
constexpr int64_t PIXELS = 64;

template <typename Stored>
void average_of(const PoolMap& map, int64_t first, int64_t last, float* out) {
  constexpr int64_t ABREAST = kPoolChannels / LANES;
  const int64_t pixels = map.height * map.width, channels = map.channels;
  const float share = 1 / static_cast<float>(pixels);
  for (int64_t n = first; n < last; ++n)
    for (int64_t c = 0; c < channels; c += kPoolChannels) {
      const Stored* from = static_cast<const Stored*>(map.at) + n * pixels * channels + c;
      Vector total[ABREAST] = {};
      for (int64_t p = 0; p < pixels; p += PIXELS) {
        const int64_t end = p + PIXELS < pixels ? p + PIXELS : pixels;
        // Odd and even pixels apart, for two chains of additions.
        Vector sum[2][ABREAST] = {};
        int64_t q = p;
        for (; q + 2 <= end; q += 2, from += 2 * channels)
#pragma GCC unroll 2
          for (int j = 0; j < ABREAST; ++j) {
            sum[0][j] += load(from + j * LANES);
            sum[1][j] += load(from + channels + j * LANES);
          }
        for (; q < end; ++q, from += channels)
          for (int j = 0; j < ABREAST; ++j) sum[0][j] += load(from + j * LANES);
        for (int j = 0; j < ABREAST; ++j) total[j] += sum[0][j] + sum[1][j];
      }
      for (int j = 0; j < ABREAST; ++j) store(out + n * channels + c + j * LANES, total[j] * share);
    }
}

void average(const PoolMap& map, int64_t first, int64_t last, float* out) {
  (map.half ? average_of<unsigned short> : average_of<float>)(map, first, last, out);
}

template <typename Stored>
void maximum_of(const PoolMap& map, int64_t first, int64_t last, void* out) {
  const int64_t height = map.height, width = map.width, channels = map.channels;
  const int64_t down = maxima_along(height), across = maxima_along(width);
  auto* to = static_cast<Stored*>(out) + first * across * channels;
  for (int64_t row = first; row < last; ++row) {
    const Stored* image = static_cast<const Stored*>(map.at) + row / down * height * width * channels;
    const int64_t middle = row % down * 2;
    const int64_t top = middle > 0 ? middle - 1 : 0, bottom = middle + 2 < height ? middle + 2 : height;
    for (int64_t x = 0; x < across; ++x, to += channels) {
      const int64_t left = x > 0 ? 2 * x - 1 : 0, right = 2 * x + 2 < width ? 2 * x + 2 : width;
      for (int64_t c = 0; c < channels; c += LANES) {
        Vector best = load(image + (top * width + left) * channels + c);
        for (int64_t i = top; i < bottom; ++i)
          for (int64_t j = left; j < right; ++j) {
            const Vector value = load(image + (i * width + j) * channels + c);
            // Once NaN, always NaN.
            best = (best >= value) | (best != best) ? best : value;
          }
        store(to + c, best);
      }
    }
  }
}

void maximum(const PoolMap& map, int64_t first, int64_t last, void* out) {
  (map.half ? maximum_of<unsigned short> : maximum_of<float>)(map, first, last, out);
}

}  // namespace
}  // namespace mode_ensemble
