#include "data/augment.h"

#include <cmath>

#include "data/draws.h"

namespace mode_ensemble {
namespace {

// As Python's round: halves go to the even number.
int rounded(double value) { return static_cast<int>(std::llrint(value)); }

}  // namespace

Region random_box(const AugmentOptions& augment, int width, int height, RandomStream& random) {
  const double area = static_cast<double>(width) * height;
  const double lowest = std::log(augment.ratio[0]), highest = std::log(augment.ratio[1]);
  for (int i = 0; i < 10; ++i) {
    const double target = area * uniform(random, augment.scale[0], augment.scale[1]);
    const double ratio = std::exp(uniform(random, lowest, highest));
    const double wide = std::sqrt(target * ratio), high = std::sqrt(target / ratio);
    if (wide > width + 1.0 || high > height + 1.0) continue;  // before rounding to an integer
    const int w = rounded(wide), h = rounded(high);
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const int top = below(random, height - h + 1);
    const int left = below(random, width - w + 1);
    return {left, top, w, h};
  }
  int w = width, h = height;
  const double ratio = static_cast<double>(width) / height;
  // At least a pixel: torchvision's rule would give none for the thinnest images.
  if (ratio < augment.ratio[0]) h = std::max(rounded(w / augment.ratio[0]), 1);
  if (ratio > augment.ratio[1]) w = std::max(rounded(h * augment.ratio[1]), 1);
  return {(width - w) / 2, (height - h) / 2, w, h};
}

Framing with_motion(Framing framing, const AugmentOptions& augment, RandomStream& random) {
  if (augment.crop == "padded") {
    const auto padding = static_cast<int>(augment.cropPadding);
    framing.shift_x = below(random, 2 * padding + 1) - padding;
    framing.shift_y = below(random, 2 * padding + 1) - padding;
  }
  framing.flip = augment.flip && even_chance(random);
  return framing;
}

}  // namespace mode_ensemble
