// The kernels of norm_kernels.h for vectors of LANES floats; included by a file for each instruction set.
// Rows are gone through one after another: several abreast load less of what belongs to channels, but memory
// is then read at half the rate.
#include "linalg/norm_kernels.h"
#include "linalg/vector_body.h"

namespace mode_ensemble {
namespace {

// Rows are summed in float32 over so many at most, and in float64 from there on; so many channels at a time,
// so that their sums stay in the first level of cache.
constexpr int64_t MOST_ROWS = 64, MOST_CHANNELS = 1024;

inline Vector masked(Vector value, Vector by) { return by > 0 ? value : Vector{}; }

// How the gradient of y becomes that before the ReLU.
enum class Mask { none, computed, looked_up };

template <Mask MASK, typename Stored>
inline __attribute__((always_inline)) Vector passed(Vector g, Vector x, const Stored* y, int64_t at,
                                                    Vector scale, Vector offset) {
  if (MASK == Mask::computed) return masked(g, x * scale + offset);
  if (MASK == Mask::looked_up) return masked(g, load(y + at));
  return g;
}

// Two sums for each of some channels.
struct Partial {
  int64_t from, to;  // channels
  float first[MOST_CHANNELS], second[MOST_CHANNELS];
};

// Calls of(partial, first, last) for blocks of rows and channels, and adds what it summed to the totals.
template <typename Of>
inline __attribute__((always_inline)) void by_blocks(const NormRows& rows, double* first, double* second,
                                                     const Of& of) {
  Partial partial;
  for (int64_t row = rows.first; row < rows.last; row += MOST_ROWS) {
    const int64_t last = row + MOST_ROWS < rows.last ? row + MOST_ROWS : rows.last;
    for (int64_t from = 0; from < rows.channels; from += MOST_CHANNELS) {
      partial.from = from;
      partial.to = from + MOST_CHANNELS < rows.channels ? from + MOST_CHANNELS : rows.channels;
      const int64_t count = partial.to - from;
      for (int64_t c = 0; c < count; ++c) partial.first[c] = partial.second[c] = 0;
      of(partial, row, last);
      for (int64_t c = 0; c < count; ++c) {
        first[from + c] += static_cast<double>(partial.first[c]);
        second[from + c] += static_cast<double>(partial.second[c]);
      }
    }
  }
}

template <typename Stored>
struct Moments {
  const Stored* x;
  int64_t channels;
  const float* shift;
  Partial& to;

  inline __attribute__((always_inline)) void operator()(int64_t row) const {
    const Stored* from = x + row * channels;
    for (int64_t c = to.from; c < to.to; c += LANES) {
      float *sums = to.first + (c - to.from), *squares = to.second + (c - to.from);
      const Vector by = load(shift + c);
      Vector sum = load(sums), square = load(squares);
      const Vector d = load(from + c) - by;
      sum += d;
      square += d * d;
      store(sums, sum);
      store(squares, square);
    }
  }
};

template <typename Stored>
void moments_of(const NormRows& rows, const float* shift, double* sums, double* squares) {
  by_blocks(rows, sums, squares, [&](Partial& to, int64_t first, int64_t last) {
    const Moments<Stored> of{static_cast<const Stored*>(rows.x), rows.channels, shift, to};
    for (int64_t row = first; row < last; ++row) of(row);
  });
}

void moments(const NormRows& rows, const float* shift, double* sums, double* squares) {
  (rows.half ? moments_of<unsigned short> : moments_of<float>)(rows, shift, sums, squares);
}

template <typename Stored, bool ADD, bool RELU>
struct Apply {
  const NormRows& rows;

  inline __attribute__((always_inline)) void operator()(int64_t row) const {
    const int64_t channels = rows.channels, start = row * channels;
    const auto* x = static_cast<const Stored*>(rows.x);
    const auto* add = static_cast<const Stored*>(rows.add);
    auto* y = static_cast<Stored*>(rows.y);
    for (int64_t c = 0; c < channels; c += LANES) {
      const Vector scale = load(rows.scale + c), offset = load(rows.offset + c);
      const int64_t at = start + c;
      Vector value = load(x + at) * scale + offset;
      if (ADD) value += load(add + at);
      // In this order NaN stays NaN.
      if (RELU) value = value < 0 ? Vector{} : value;
      store(y + at, value);
    }
  }
};

template <typename Stored, bool ADD, bool RELU>
void apply_of(const NormRows& rows) {
  const Apply<Stored, ADD, RELU> of{rows};
  for (int64_t row = rows.first; row < rows.last; ++row) of(row);
}

template <typename Stored>
void apply_stored(const NormRows& rows) {
  if (rows.add)
    (rows.relu ? apply_of<Stored, true, true> : apply_of<Stored, true, false>)(rows);
  else
    (rows.relu ? apply_of<Stored, false, true> : apply_of<Stored, false, false>)(rows);
}

void apply(const NormRows& rows) { (rows.half ? apply_stored<unsigned short> : apply_stored<float>)(rows); }

template <typename Stored, Mask MASK>
struct GradientSums {
  const NormRows& rows;
  const float* mean;
  Partial& to;

  inline __attribute__((always_inline)) void operator()(int64_t row) const {
    const int64_t channels = rows.channels, start = row * channels;
    const auto* x = static_cast<const Stored*>(rows.x);
    const auto* y = static_cast<const Stored*>(rows.y);
    const auto* gradient = static_cast<const Stored*>(rows.gradient);
    for (int64_t c = to.from; c < to.to; c += LANES) {
      float *sums = to.first + (c - to.from), *products = to.second + (c - to.from);
      const Vector by = load(mean + c), scale = load(rows.scale + c), offset = load(rows.offset + c);
      Vector sum = load(sums), product = load(products);
      const int64_t at = start + c;
      const Vector value = load(x + at);
      const Vector g = passed<MASK>(load(gradient + at), value, y, at, scale, offset);
      sum += g;
      product += g * (value - by);
      store(sums, sum);
      store(products, product);
    }
  }
};

template <typename Stored, Mask MASK>
void gradient_sums_of(const NormRows& rows, const float* mean, double* sums, double* products) {
  by_blocks(rows, sums, products, [&](Partial& to, int64_t first, int64_t last) {
    const GradientSums<Stored, MASK> of{rows, mean, to};
    for (int64_t row = first; row < last; ++row) of(row);
  });
}

template <typename Stored, Mask MASK, bool ADD>
struct Gradient {
  const NormRows& rows;
  const NormGradient& how;

  inline __attribute__((always_inline)) void operator()(int64_t row) const {
    const int64_t channels = rows.channels, start = row * channels;
    const auto* x = static_cast<const Stored*>(rows.x);
    const auto* y = static_cast<const Stored*>(rows.y);
    const auto* gradient = static_cast<const Stored*>(rows.gradient);
    auto* of_x = static_cast<Stored*>(how.of_x);
    auto* of_add = static_cast<Stored*>(how.of_add);
    for (int64_t c = 0; c < channels; c += LANES) {
      const Vector scale = load(rows.scale + c), offset = load(rows.offset + c);
      const Vector slope = load(how.slope + c), level = load(how.level + c);
      const int64_t at = start + c;
      const Vector value = load(x + at);
      const Vector g = passed<MASK>(load(gradient + at), value, y, at, scale, offset);
      if (ADD) store(of_add + at, g);
      store(of_x + at, scale * g - (slope * value + level));
    }
  }
};

template <typename Stored, Mask MASK>
void gradient_of(const NormRows& rows, const NormGradient& how) {
  const Gradient<Stored, MASK, true> with_add{rows, how};
  const Gradient<Stored, MASK, false> without{rows, how};
  if (how.of_add)
    for (int64_t row = rows.first; row < rows.last; ++row) with_add(row);
  else
    for (int64_t row = rows.first; row < rows.last; ++row) without(row);
}

template <typename Stored>
void gradient_sums_stored(const NormRows& rows, const float* mean, double* sums, double* products) {
  const auto of = !rows.relu ? gradient_sums_of<Stored, Mask::none>
                  : rows.y   ? gradient_sums_of<Stored, Mask::looked_up>
                             : gradient_sums_of<Stored, Mask::computed>;
  of(rows, mean, sums, products);
}

void gradient_sums(const NormRows& rows, const float* mean, double* sums, double* products) {
  const auto of = rows.half ? gradient_sums_stored<unsigned short> : gradient_sums_stored<float>;
  of(rows, mean, sums, products);
}

template <typename Stored>
void gradient_stored(const NormRows& rows, const NormGradient& how) {
  const auto of = !rows.relu ? gradient_of<Stored, Mask::none>
                  : rows.y   ? gradient_of<Stored, Mask::looked_up>
                             : gradient_of<Stored, Mask::computed>;
  of(rows, how);
}

void gradient(const NormRows& rows, const NormGradient& how) {
  (rows.half ? gradient_stored<unsigned short> : gradient_stored<float>)(rows, how);
}

}  // namespace
}  // namespace mode_ensemble
