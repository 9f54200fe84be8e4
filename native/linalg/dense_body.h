// The kernels of dense_kernels.h for vectors of LANES floats; included by a file for each instruction set and
// type, which is compiled for it. Sums are of PANEL_VECTORS vectors for each of ROWS rows, and stay in
// registers. No header with inline functions may be included here: the linker could take that set's copy of
// such a function for the whole program.
#include "linalg/dense_kernels.h"
#include "linalg/vector_body.h"

namespace mode_ensemble {
namespace {

#if defined(DENSE_HALF)
typedef unsigned short Stored;
constexpr int64_t DEPTH = 2;
typedef __m512bh Factor;
typedef int LooseInt __attribute__((aligned(2), may_alias));

// A conversion of its own rounds as vector_body.h does, in one instruction.
inline void put(unsigned short* to, Vector value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(value));
}
inline Factor pair_of(const unsigned short* at) {
  return (__m512bh)_mm512_set1_epi32(*reinterpret_cast<const LooseInt*>(at));
}
inline Factor weights_of(const unsigned short* at) { return (__m512bh)_mm512_loadu_si512(at); }
inline Vector add_product(Vector sum, Factor a, Factor b) { return _mm512_dpbf16_ps(sum, a, b); }
#else
typedef float Stored;
constexpr int64_t DEPTH = 1;
typedef Vector Factor;

inline void put(float* to, Vector value) { store(to, value); }
inline Factor pair_of(const float* at) { return all(*at); }
inline Factor weights_of(const float* at) { return load(at); }
inline Vector add_product(Vector sum, Factor a, Factor b) { return sum + a * b; }
#endif

// In this order NaN stays NaN.
inline Vector above_zero(Vector value) { return value < 0 ? Vector{} : value; }

inline Vector normalised(const Stored* from, Vector scale, Vector offset, bool relu) {
  const Vector value = load(from) * scale + offset;
  return relu ? above_zero(value) : value;
}

void normalise(const DenseRows& x, void* out) {
  auto* to = static_cast<Stored*>(out);
  const auto* from = static_cast<const Stored*>(x.at);
  for (int64_t i = 0; i < x.count; ++i, from += x.step, to += x.channels)
    for (int64_t c = 0; c < x.channels; c += LANES)
      put(to + c, normalised(from + c, load(x.scale + c), load(x.offset + c), x.relu));
}

void pool(const DenseRows& x, int64_t width, int64_t first, void* out) {
  auto* to = static_cast<Stored*>(out);
  const int64_t across = width / 2;
  for (int64_t square = first; square < first + x.count; ++square, to += x.channels) {
    const int64_t pixel = square / across * 2 * width + square % across * 2;
    const auto* upper = static_cast<const Stored*>(x.at) + pixel * x.step;
    const auto* lower = upper + width * x.step;
    for (int64_t c = 0; c < x.channels; c += LANES) {
      const Vector scale = load(x.scale + c), offset = load(x.offset + c);
      const Vector sum = (normalised(upper + c, scale, offset, x.relu) +
                          normalised(upper + x.step + c, scale, offset, x.relu)) +
                         (normalised(lower + c, scale, offset, x.relu) +
                          normalised(lower + x.step + c, scale, offset, x.relu));
      put(to + c, sum * 0.25f);
    }
  }
}

void gradient(const DenseRows& x, const void* of_result, void* of_x) {
  const auto* from = static_cast<const Stored*>(x.at);
  const auto* given = static_cast<const Stored*>(of_result);
  auto* to = static_cast<Stored*>(of_x);
  for (int64_t i = 0; i < x.count; ++i, from += x.step, to += x.step, given += x.channels)
    for (int64_t c = 0; c < x.channels; c += LANES) {
      const Vector scale = load(x.scale + c);
      Vector passed = load(given + c);
      if (x.relu) passed = load(from + c) * scale + load(x.offset + c) > 0 ? passed : Vector{};
      put(to + c, load(to + c) + scale * passed);
    }
}

// COUNT rows of a against a panel.
template <int COUNT>
inline __attribute__((always_inline)) void multiply_rows(const Stored* a, const Stored* panel, int64_t inner,
                                                         Stored* to, const DenseOutput& out) {
  Vector sums[COUNT][PANEL_VECTORS];
#pragma GCC unroll 16
  for (int i = 0; i < COUNT; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < PANEL_VECTORS; ++j) sums[i][j] = load(out.bias + j * LANES);
  for (int64_t k = 0; k < inner; k += DEPTH, panel += kDensePanel * DEPTH) {
    Factor from[PANEL_VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < PANEL_VECTORS; ++j) from[j] = weights_of(panel + j * LANES * DEPTH);
#pragma GCC unroll 16
    for (int i = 0; i < COUNT; ++i) {
      const Factor factor = pair_of(a + i * inner + k);
#pragma GCC unroll 4
      for (int j = 0; j < PANEL_VECTORS; ++j) sums[i][j] = add_product(sums[i][j], factor, from[j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < COUNT; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < PANEL_VECTORS; ++j)
      put(to + i * out.step + j * LANES, out.relu ? above_zero(sums[i][j]) : sums[i][j]);
}

void multiply(const void* a_at, const void* panel_at, int64_t count, int64_t inner, const DenseOutput& out) {
  const auto* a = static_cast<const Stored*>(a_at);
  const auto* panel = static_cast<const Stored*>(panel_at);
  auto* to = static_cast<Stored*>(out.at);
  int64_t i = 0;
  for (; i + ROWS <= count; i += ROWS)
    multiply_rows<ROWS>(a + i * inner, panel, inner, to + i * out.step, out);
  for (; i + 4 <= count; i += 4) multiply_rows<4>(a + i * inner, panel, inner, to + i * out.step, out);
  for (; i < count; ++i) multiply_rows<1>(a + i * inner, panel, inner, to + i * out.step, out);
}

}  // namespace
}  // namespace mode_ensemble
