#include "data/transform.h"

#include <cmath>

#include "data/decode.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// torchvision's Resize(int): the shorter side becomes `size`, the longer one int(size · long / short).
int64_t longer(int64_t size, int64_t shorter_side, int64_t longer_side) {
  return static_cast<int64_t>(static_cast<double>(size * longer_side) / static_cast<double>(shorter_side));
}

// torchvision's CenterCrop: round((side − crop) / 2), where Python rounds halves to the even number.
int64_t crop_start(int64_t side, int64_t crop) { return std::llrint(static_cast<double>(side - crop) / 2.0); }

}  // namespace

Framing evaluation_framing(const TransformOptions& transform, int width, int height,
                           const std::function<std::string()>& name) {
  int64_t wide = transform.resize, high = transform.resize;
  if (transform.fit == "short") {
    const bool lies = width > height;
    const int64_t other = longer(transform.resize, lies ? height : width, lies ? width : height);
    (lies ? wide : high) = other;
    // A strip of an image one pixel wide would grow without bound.
    if (other > static_cast<int64_t>(kMaxImagePixels) / transform.resize)
      throw Error(ErrorCode::data, name() + ": an image of " + std::to_string(width) + " × " +
                                       std::to_string(height) + " is too long to be resized to " +
                                       std::to_string(transform.resize) + ".");
  }
  const auto side = static_cast<int>(transform.crop);
  Framing framing;
  framing.box = {0, 0, width, height};
  framing.width = static_cast<int>(wide);
  framing.height = static_cast<int>(high);
  framing.window = {static_cast<int>(crop_start(wide, side)), static_cast<int>(crop_start(high, side)), side,
                    side};
  return framing;
}

Framing box_framing(const TransformOptions& transform, const Region& box) {
  const auto side = static_cast<int>(transform.crop);
  Framing framing;
  framing.box = box;
  framing.width = framing.height = side;
  framing.window = {0, 0, side, side};
  return framing;
}

}  // namespace mode_ensemble
