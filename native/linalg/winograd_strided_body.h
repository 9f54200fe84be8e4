// The transforms of convolutions of stride 2 and of their inputs' gradients (winograd_kernels.h); included
// after winograd_body.h, with the same care.
//
// Along a side: out[i] = w1·x[2i] + (w0·x[2i − 1] + w2·x[2i + 1]). Points 0 to 4 are of F(4, 2) on the pixels
// at odd places, 5 to 8 those at even places as they are.

namespace mode_ensemble {
namespace {

// Bᵀ of five numbers, for the points ±A, ±B and ∞; A²B² is 1.
inline __attribute__((always_inline)) void transform_odd(const Vector d[5], Vector out[5]) {
  const Vector odd_a = d[3] - B2 * d[1], even_a = A * (d[2] - B2 * d[0]);
  const Vector odd_b = d[3] - A2 * d[1], even_b = B * (d[2] - A2 * d[0]);
  out[0] = odd_a + even_a;
  out[1] = odd_a - even_a;
  out[2] = odd_b + even_b;
  out[3] = odd_b - even_b;
  out[4] = d[0] - SUM2 * d[2] + d[4];
}

// Aᵀ of five sums.
inline __attribute__((always_inline)) void transform_back(const Vector m[5], Vector out[4]) {
  const Vector even_a = m[0] + m[1], odd_a = m[0] - m[1];
  const Vector even_b = m[2] + m[3], odd_b = m[2] - m[3];
  out[0] = even_a + even_b;
  out[1] = A * odd_a + B * odd_b;
  out[2] = A2 * even_a + B2 * even_b;
  out[3] = A3 * odd_a + B3 * odd_b + m[4];
}

// Nine pixels of a side, the first at an odd place.
inline __attribute__((always_inline)) void transform_halving(const Vector d[9], Vector out[9]) {
  const Vector odd[5] = {d[0], d[2], d[4], d[6], d[8]};
  transform_odd(odd, out);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) out[5 + i] = d[2 * i + 1];
}

inline __attribute__((always_inline)) void transform_halving_back(const Vector m[9], Vector out[4]) {
  transform_back(m, out);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) out[i] += m[5 + i];
}

// Five pixels of a side.
inline __attribute__((always_inline)) void transform_doubling(const Vector d[5], Vector out[9]) {
  transform_odd(d, out);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) out[5 + i] = d[i];
}

// Eight pixels, the first at an even place.
inline __attribute__((always_inline)) void transform_doubling_back(const Vector m[9], Vector out[8]) {
  Vector odd[4];
  transform_back(m, odd);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = m[5 + i];
    out[2 * i + 1] = odd[i];
  }
}

// SIDE pixels from `before` pixels before SCALE times a tile's first.
template <typename Stored, int SIDE, int SCALE, int BEFORE, void (*TRANSFORM)(const Vector*, Vector*)>
void strided_input_of(const WinogradInput& images, const WinogradMap& map, int64_t first, int64_t last,
                      float* out, int64_t step) {
  const int64_t channels = images.channels;
  for (int64_t t = first; t < last; ++t) {
    const Tile tile = tile_of(t, map);
    const Stored* image =
        static_cast<const Stored*>(images.at) + tile.image * map.height * map.width * channels;
    const int64_t top = SCALE * tile.top - BEFORE, left = SCALE * tile.left - BEFORE;
    float* to = out + (t - first) * channels;
    for (int64_t c = 0; c < channels; c += LANES) {
      Vector half[SIDE][kSidePoints];  // by columns: half[x][i]
      for (int64_t x = 0; x < SIDE; ++x) {
        Vector d[SIDE];
        const int64_t column = left + x;
#pragma GCC unroll 9
        for (int64_t y = 0; y < SIDE; ++y) {
          const bool here = column >= 0 && column < map.width && top + y >= 0 && top + y < map.height;
          d[y] = here ? load(image + ((top + y) * map.width + column) * channels + c) : Vector{};
        }
        TRANSFORM(d, half[x]);
      }
      for (int64_t i = 0; i < kSidePoints; ++i) {
        Vector row[SIDE], v[kSidePoints];
#pragma GCC unroll 9
        for (int64_t x = 0; x < SIDE; ++x) row[x] = half[x][i];
        TRANSFORM(row, v);
#pragma GCC unroll 9
        for (int64_t j = 0; j < kSidePoints; ++j) store(to + (kSidePoints * i + j) * step + c, v[j]);
      }
    }
  }
}

// SIDE outputs from SCALE times a tile's first.
template <typename Stored, int SIDE, int SCALE, void (*TRANSFORM)(const Vector*, Vector*)>
void strided_output_of(const WinogradSums& sums, const WinogradMap& map, const WinogradOutput& out) {
  for (int64_t t = sums.first; t < sums.last; ++t) {
    const Tile tile = tile_of(t, map);
    const int64_t top = SCALE * tile.top, left = SCALE * tile.left;
    const int64_t tall = map.out_height - top < SIDE ? map.out_height - top : SIDE;
    const int64_t wide = map.out_width - left < SIDE ? map.out_width - left : SIDE;
    const float* from = sums.at + (t - sums.first) * sums.row;
    const int64_t corner = (tile.image * map.out_height + top) * map.out_width + left;
    for (int64_t c = 0; c < out.to - out.from; c += LANES) {
      Vector half[kSidePoints][SIDE];  // by columns: half[j][y]
      for (int64_t j = 0; j < kSidePoints; ++j) {
        Vector m[kSidePoints];
#pragma GCC unroll 9
        for (int64_t i = 0; i < kSidePoints; ++i) m[i] = load(from + (kSidePoints * i + j) * sums.step + c);
        TRANSFORM(m, half[j]);
      }
      const Vector shift = load(out.bias + out.from + c);
      for (int64_t y = 0; y < tall; ++y) {
        Vector row[kSidePoints], v[SIDE];
#pragma GCC unroll 9
        for (int64_t j = 0; j < kSidePoints; ++j) row[j] = half[j][y];
        TRANSFORM(row, v);
        const int64_t at = (corner + y * map.out_width) * out.channels + out.from + c;
        for (int64_t x = 0; x < wide; ++x) {
          Vector value = v[x] + shift;
          if (out.add_even && y % 2 == 0 && x % 2 == 0) {
            const int64_t row_of_half = tile.image * map.height + tile.top + y / 2;
            const int64_t half = row_of_half * map.width + tile.left + x / 2;
            value += load(static_cast<const Stored*>(out.add_even) + half * out.channels + out.from + c);
          }
          put<Stored>(out, at + x * out.channels, value);
        }
      }
    }
  }
}

void halving_input(const WinogradInput& images, const WinogradMap& map, int64_t first, int64_t last,
                   float* out, int64_t step) {
  (images.half ? strided_input_of<unsigned short, 9, 2, 1, transform_halving>
               : strided_input_of<float, 9, 2, 1, transform_halving>)(images, map, first, last, out, step);
}

void halving_output(const WinogradSums& sums, const WinogradMap& map, const WinogradOutput& out) {
  (out.half ? strided_output_of<unsigned short, 4, 1, transform_halving_back>
            : strided_output_of<float, 4, 1, transform_halving_back>)(sums, map, out);
}

void doubling_input(const WinogradInput& images, const WinogradMap& map, int64_t first, int64_t last,
                    float* out, int64_t step) {
  (images.half ? strided_input_of<unsigned short, 5, 1, 0, transform_doubling>
               : strided_input_of<float, 5, 1, 0, transform_doubling>)(images, map, first, last, out, step);
}

void doubling_output(const WinogradSums& sums, const WinogradMap& map, const WinogradOutput& out) {
  (out.half ? strided_output_of<unsigned short, 8, 2, transform_doubling_back>
            : strided_output_of<float, 8, 2, transform_doubling_back>)(sums, map, out);
}

}  // namespace
}  // namespace mode_ensemble
