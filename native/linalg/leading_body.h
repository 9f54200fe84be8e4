// The kernels of leading_kernels.h for vectors of LANES doubles; included by a file for each instruction set,
// with no header that has inline functions (vector_body.h says why).
#include "linalg/leading_kernels.h"

namespace mode_ensemble {
namespace {

typedef double Vector __attribute__((vector_size(LANES * 8)));
typedef double Loose __attribute__((vector_size(LANES * 8), aligned(8)));  // where memory is not aligned
typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef float LooseFloats __attribute__((vector_size(LANES * 4), aligned(4)));
typedef unsigned short LooseHalves __attribute__((vector_size(LANES * 2), aligned(2)));
typedef unsigned int Bits __attribute__((vector_size(LANES * 4)));

// Rows that are read together, so that what they meet is loaded once for all of them.
constexpr int64_t ABREAST = 4;

inline Vector load(const double* from) { return *reinterpret_cast<const Loose*>(from); }
inline void store(double* to, Vector value) { *reinterpret_cast<Loose*>(to) = value; }
inline Vector load(const float* from) {
  return __builtin_convertvector(*reinterpret_cast<const LooseFloats*>(from), Vector);
}
inline Vector load(const unsigned short* from) {
  const Bits bits = __builtin_convertvector(*reinterpret_cast<const LooseHalves*>(from), Bits) << 16;
  return __builtin_convertvector(reinterpret_cast<Floats>(bits), Vector);
}
inline double one(const float* from) { return static_cast<double>(*from); }
inline double one(const unsigned short* from) {
  union {
    unsigned int bits;
    float value;
  } number = {static_cast<unsigned int>(*from) << 16};
  return static_cast<double>(number.value);
}
inline double sum_of(Vector value) {
  double sum = 0;
  for (int i = 0; i < LANES; ++i) sum += value[i];
  return sum;
}

template <typename Stored, int64_t ROWS>
void gather_rows(const Stored* x, int64_t columns, const double* u, double* t) {
  int64_t c = 0;
  for (; c + LANES <= columns; c += LANES) {
    Vector sum = load(t + c);
    for (int64_t r = 0; r < ROWS; ++r) sum += u[r] * load(x + r * columns + c);
    store(t + c, sum);
  }
  for (; c < columns; ++c)
    for (int64_t r = 0; r < ROWS; ++r) t[c] += u[r] * one(x + r * columns + c);
}

template <typename Stored>
void gather_of(const LeadingRows& rows, const double* u, double* t) {
  const auto* x = static_cast<const Stored*>(rows.at);
  const int64_t columns = rows.columns;
  for (int64_t c = 0; c < columns; ++c) t[c] = 0;
  int64_t p = 0;
  for (; p + ABREAST <= rows.rows; p += ABREAST)
    gather_rows<Stored, ABREAST>(x + p * columns, columns, u + p, t);
  for (; p < rows.rows; ++p) gather_rows<Stored, 1>(x + p * columns, columns, u + p, t);
}

// u [ROWS]: products of rows with `t`, or with themselves where there is none.
template <typename Stored, int64_t ROWS>
void spread_rows(const Stored* x, int64_t columns, const double* t, double* u) {
  // Odd and even vectors apart, for two chains of additions a row.
  Vector sums[2][ROWS] = {};
  int64_t c = 0;
  for (; c + 2 * LANES <= columns; c += 2 * LANES)
    for (int64_t part = 0; part < 2; ++part) {
      const int64_t at = c + part * LANES;
      for (int64_t r = 0; r < ROWS; ++r) {
        const Vector value = load(x + r * columns + at);
        sums[part][r] += value * (t ? load(t + at) : value);
      }
    }
  for (int64_t r = 0; r < ROWS; ++r) u[r] = sum_of(sums[0][r] + sums[1][r]);
  for (; c < columns; ++c)
    for (int64_t r = 0; r < ROWS; ++r) {
      const double value = one(x + r * columns + c);
      u[r] += value * (t ? t[c] : value);
    }
}

template <typename Stored>
void spread_of(const LeadingRows& rows, const double* t, double* u) {
  const auto* x = static_cast<const Stored*>(rows.at);
  const int64_t columns = rows.columns;
  int64_t p = 0;
  for (; p + ABREAST <= rows.rows; p += ABREAST)
    spread_rows<Stored, ABREAST>(x + p * columns, columns, t, u + p);
  for (; p < rows.rows; ++p) spread_rows<Stored, 1>(x + p * columns, columns, t, u + p);
}

template <typename Stored>
void take_away_of(const LeadingRows& rows, const double* u, const double* t, float* out) {
  const auto* x = static_cast<const Stored*>(rows.at);
  const int64_t columns = rows.columns;
  for (int64_t p = 0; p < rows.rows; ++p, x += columns, out += columns) {
    int64_t c = 0;
    for (; c + LANES <= columns; c += LANES)
      *reinterpret_cast<LooseFloats*>(out + c) =
          __builtin_convertvector(load(x + c) - u[p] * load(t + c), Floats);
    for (; c < columns; ++c) out[c] = static_cast<float>(one(x + c) - u[p] * t[c]);
  }
}

void gather(const LeadingRows& x, const double* u, double* t) {
  (x.half ? gather_of<unsigned short> : gather_of<float>)(x, u, t);
}

void spread(const LeadingRows& x, const double* t, double* u) {
  (x.half ? spread_of<unsigned short> : spread_of<float>)(x, t, u);
}

void squares(const LeadingRows& x, double* u) { spread(x, nullptr, u); }

void take_away(const LeadingRows& x, const double* u, const double* t, float* out) {
  (x.half ? take_away_of<unsigned short> : take_away_of<float>)(x, u, t, out);
}

}  // namespace
}  // namespace mode_ensemble
