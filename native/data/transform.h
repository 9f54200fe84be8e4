// What is done to a decoded image before a network sees it. It travels with the architecture and with the
// checkpoint, so that an evaluation uses what the network was trained on.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "data/image.h"

namespace mode_ensemble {

struct TransformOptions {
  int64_t resize = 0;  // pixels
  std::string
      fit;  // `both`: both sides become `resize`; `short`: the shorter one does (torchvision's Resize(int))
  std::string filter;                   // `bilinear` or `bicubic`, antialiased as in Pillow
  int64_t crop = 0;                     // side of the square cut from the middle: what the network reads
  std::array<double, 3> mean{}, std{};  // of pixels in [0, 1]
};

// Resizes and crops; normalising is the loader's. `to` is not `from`. Throws Error(data), which begins with
// `name`, for an image so long and thin that its resized form would not fit.
void apply_transform(const PixelView& from, const TransformOptions& transform, const std::string& name,
                     Image& to);

}  // namespace mode_ensemble
