// Numbers of the usual distributions from a stream.
#pragma once
#include <cmath>
#include <numbers>

#include "runtime/random.h"

namespace mode_ensemble {

// In [from, to).
inline double uniform(RandomStream& random, double from, double to) {
  return from + (to - from) * (static_cast<double>(random.next() >> 11) * 0x1p-53);
}

// 0 … n − 1.
inline int below(RandomStream& random, int n) {
  return static_cast<int>(random.below(static_cast<uint32_t>(n)));
}

inline bool even_chance(RandomStream& random) { return (random.next() >> 63) != 0; }

// Independent, of mean 0 and variance 1: two from two uniform ones (Box and Muller 1958).
class Normals {
 public:
  explicit Normals(RandomStream& random) : random_(random) {}

  double next() {
    if (has_second_) {
      has_second_ = false;
      return second_;
    }
    const double radius = std::sqrt(-2 * std::log(1 - uniform(random_, 0, 1)));
    const double angle = uniform(random_, 0, 2 * std::numbers::pi);
    second_ = radius * std::sin(angle);
    has_second_ = true;
    return radius * std::cos(angle);
  }

 private:
  RandomStream& random_;
  double second_ = 0;
  bool has_second_ = false;
};

}  // namespace mode_ensemble
