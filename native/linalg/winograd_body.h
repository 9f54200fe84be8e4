// The kernels of winograd_kernels.h for vectors of LANES floats; included by a file for each instruction set,
// which is compiled for it. No header with inline functions may be included here: the linker could take that
// set's copy of such a function for the whole program.
#include "linalg/vector_body.h"
#include "linalg/winograd_kernels.h"

namespace mode_ensemble {
namespace {

constexpr float A = static_cast<float>(kPointA), B = static_cast<float>(kPointB);
constexpr float A2 = static_cast<float>(kPointA * kPointA), B2 = static_cast<float>(kPointB * kPointB);
constexpr float SUM2 = static_cast<float>(kPointA * kPointA + kPointB * kPointB);
constexpr float A3 = static_cast<float>(kPointA * kPointA * kPointA);
constexpr float B3 = static_cast<float>(kPointB * kPointB * kPointB);

// Bᵀ of six numbers; A²B² is 1.
inline __attribute__((always_inline)) void transform_in(const Vector d[6], Vector out[6]) {
  const Vector even_a = d[4] - B2 * d[2], odd_a = A * (d[3] - B2 * d[1]);
  const Vector even_b = d[4] - A2 * d[2], odd_b = B * (d[3] - A2 * d[1]);
  out[0] = d[0] - SUM2 * d[2] + d[4];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = d[1] - SUM2 * d[3] + d[5];
}

// Aᵀ of six sums.
inline __attribute__((always_inline)) void transform_out(const Vector m[6], Vector out[4]) {
  const Vector even_a = m[1] + m[2], odd_a = m[1] - m[2];
  const Vector even_b = m[3] + m[4], odd_b = m[3] - m[4];
  out[0] = m[0] + even_a + even_b;
  out[1] = A * odd_a + B * odd_b;
  out[2] = A2 * even_a + B2 * even_b;
  out[3] = A3 * odd_a + B3 * odd_b + m[5];
}

struct Tile {
  int64_t image, top, left;  // of its pixels in the smaller of inputs and outputs
};

inline Tile tile_of(int64_t index, const WinogradMap& map) {
  const int64_t each = map.rows * map.columns, in_image = index % each;
  return {index / each, in_image / map.columns * kTileOut, in_image % map.columns * kTileOut};
}

template <typename Stored>
void input_of(const WinogradInput& images, const WinogradMap& map, int64_t first, int64_t last, float* out,
              int64_t step) {
  const int64_t channels = images.channels;
  for (int64_t t = first; t < last; ++t) {
    const Tile tile = tile_of(t, map);
    const Stored* image =
        static_cast<const Stored*>(images.at) + tile.image * map.height * map.width * channels;
    const int64_t top = tile.top - 1, left = tile.left - 1;
    const bool inside = top >= 0 && left >= 0 && top + kTileIn <= map.height && left + kTileIn <= map.width;
    float* to = out + (t - first) * channels;
    for (int64_t c = 0; c < channels; c += LANES) {
      Vector half[6][6];  // Bᵀd by columns: half[x][i]
      for (int64_t x = 0; x < 6; ++x) {
        Vector d[6];
        const int64_t column = left + x;
        if (inside) {
#pragma GCC unroll 6
          for (int64_t y = 0; y < 6; ++y)
            d[y] = load(image + ((top + y) * map.width + column) * channels + c);
        } else {
          for (int64_t y = 0; y < 6; ++y) {
            const bool here = column >= 0 && column < map.width && top + y >= 0 && top + y < map.height;
            d[y] = here ? load(image + ((top + y) * map.width + column) * channels + c) : Vector{};
          }
        }
        transform_in(d, half[x]);
      }
#pragma GCC unroll 6
      for (int64_t i = 0; i < 6; ++i) {
        const Vector row[6] = {half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i]};
        Vector v[6];
        transform_in(row, v);
#pragma GCC unroll 6
        for (int64_t j = 0; j < 6; ++j) store(to + (6 * i + j) * step + c, v[j]);
      }
    }
  }
}

void input(const WinogradInput& images, const WinogradMap& map, int64_t first, int64_t last, float* out,
           int64_t step) {
  (images.half ? input_of<unsigned short> : input_of<float>)(images, map, first, last, out, step);
}

// COUNT rows of a against a panel of b; sums stay in registers.
template <int COUNT>
inline __attribute__((always_inline)) void product_rows(const float* a, const float* b, float* out,
                                                        int64_t inner, int64_t row) {
  Vector sums[COUNT][PANEL_VECTORS];
#pragma GCC unroll 16
  for (int i = 0; i < COUNT; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < PANEL_VECTORS; ++j) sums[i][j] = Vector{};
  for (int64_t k = 0; k < inner; ++k, b += kWinogradPanel) {
    Vector from[PANEL_VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < PANEL_VECTORS; ++j) from[j] = load(b + j * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < COUNT; ++i) {
      const Vector factor = all(a[i * inner + k]);
#pragma GCC unroll 4
      for (int j = 0; j < PANEL_VECTORS; ++j) sums[i][j] += factor * from[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < COUNT; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < PANEL_VECTORS; ++j) store(out + i * row + j * LANES, sums[i][j]);
}

void product(const float* a, const float* b, float* out, int64_t count, int64_t inner, int64_t row) {
  int64_t i = 0;
  for (; i + ROWS <= count; i += ROWS) product_rows<ROWS>(a + i * inner, b, out + i * row, inner, row);
  for (; i + 4 <= count; i += 4) product_rows<4>(a + i * inner, b, out + i * row, inner, row);
  for (; i < count; ++i) product_rows<1>(a + i * inner, b, out + i * row, inner, row);
}

// LANES channels of a pixel: what follows the sums. `at` is the place of the first.
template <typename Stored>
inline __attribute__((always_inline)) void put(const WinogradOutput& out, int64_t at, Vector value) {
  if (out.add) value += load(static_cast<const Stored*>(out.add) + at);
  // In this order NaN stays NaN.
  if (out.relu) value = value < 0 ? Vector{} : value;
  if (out.mask) value = load(static_cast<const Stored*>(out.mask) + at) <= 0 ? Vector{} : value;
  store(static_cast<Stored*>(out.at) + at, value);
}

template <typename Stored>
void output_of(const WinogradSums& sums, const WinogradMap& map, const WinogradOutput& out) {
  for (int64_t t = sums.first; t < sums.last; ++t) {
    const Tile tile = tile_of(t, map);
    const int64_t tall = map.height - tile.top < kTileOut ? map.height - tile.top : kTileOut;
    const int64_t wide = map.width - tile.left < kTileOut ? map.width - tile.left : kTileOut;
    const float* from = sums.at + (t - sums.first) * sums.row;
    const int64_t corner = (tile.image * map.height + tile.top) * map.width + tile.left;
    for (int64_t c = 0; c < out.to - out.from; c += LANES) {
      Vector half[6][4];  // Aᵀm by columns: half[j][y]
      for (int64_t j = 0; j < 6; ++j) {
        Vector m[6];
        for (int64_t i = 0; i < 6; ++i) m[i] = load(from + (6 * i + j) * sums.step + c);
        transform_out(m, half[j]);
      }
      const Vector shift = load(out.bias + out.from + c);
      for (int64_t y = 0; y < tall; ++y) {
        const Vector row[6] = {half[0][y], half[1][y], half[2][y], half[3][y], half[4][y], half[5][y]};
        Vector v[4];
        transform_out(row, v);
        const int64_t at = (corner + y * map.width) * out.channels + out.from + c;
        for (int64_t x = 0; x < wide; ++x) put<Stored>(out, at + x * out.channels, v[x] + shift);
      }
    }
  }
}

void output(const WinogradSums& sums, const WinogradMap& map, const WinogradOutput& out) {
  (out.half ? output_of<unsigned short> : output_of<float>)(sums, map, out);
}

}  // namespace
}  // namespace mode_ensemble
