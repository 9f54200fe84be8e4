#include "data/erase.h"

#include <cmath>

namespace mode_ensemble {
namespace {

// timm's defaults: shares of the square's area, and the least height over width; the most is its reciprocal.
constexpr double kLeastArea = 0.02, kMostArea = 1.0 / 3, kLeastAspect = 0.3;
constexpr int kTries = 10;

}  // namespace

Region erased_box(double probability, int side, RandomStream& random) {
  if (uniform(random, 0, 1) >= probability) return {};
  const double area = static_cast<double>(side) * side;
  const double lowest = std::log(kLeastAspect), highest = std::log(1 / kLeastAspect);
  for (int i = 0; i < kTries; ++i) {
    const double target = area * uniform(random, kLeastArea, kMostArea);
    const double aspect = std::exp(uniform(random, lowest, highest));
    const int height = static_cast<int>(std::llrint(std::sqrt(target * aspect)));
    const int width = static_cast<int>(std::llrint(std::sqrt(target / aspect)));
    // timm wants it smaller than the square in both directions.
    if (height >= side || width >= side) continue;
    const int top = below(random, side - height + 1);
    const int left = below(random, side - width + 1);
    return {left, top, width, height};
  }
  return {};
}

}  // namespace mode_ensemble
