#include "data/transform.h"

#include <algorithm>
#include <cmath>

#include "data/decode.h"
#include "data/resize.h"
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

void apply_transform(const PixelView& from, const TransformOptions& transform, const std::string& name,
                     Image& to) {
  int64_t width = transform.resize, height = transform.resize;
  if (transform.fit == "short") {
    const bool wide = from.width > from.height;
    const int64_t other =
        longer(transform.resize, wide ? from.height : from.width, wide ? from.width : from.height);
    (wide ? width : height) = other;
    // A strip of an image one pixel wide would grow without bound.
    if (other > static_cast<int64_t>(kMaxImagePixels) / transform.resize)
      throw Error(ErrorCode::data, name + ": an image of " + std::to_string(from.width) + " × " +
                                       std::to_string(from.height) + " is too long to be resized to " +
                                       std::to_string(transform.resize) + ".");
  }
  const auto filter = transform.filter == "bicubic" ? Filter::bicubic : Filter::bilinear;
  if (width == transform.crop && height == transform.crop) {
    resize_to(from, static_cast<int>(width), static_cast<int>(height), filter, to);
    return;
  }
  Image sized;
  resize_to(from, static_cast<int>(width), static_cast<int>(height), filter, sized);
  const int64_t left = crop_start(width, transform.crop), top = crop_start(height, transform.crop);
  to.width = to.height = static_cast<int>(transform.crop);
  const auto row = static_cast<size_t>(3 * transform.crop);
  to.pixels.resize(row * static_cast<size_t>(transform.crop));
  for (int64_t y = 0; y < transform.crop; ++y)
    std::copy_n(sized.pixels.data() + 3 * ((top + y) * width + left), row, to.pixels.data() + row * y);
}

}  // namespace mode_ensemble
