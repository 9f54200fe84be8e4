// What is done to a decoded image before a network sees it. The options travel with the architecture and with
// the checkpoint, so that an evaluation uses what the network was trained on.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
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

// Where the network's square comes from.
struct Framing {
  Region box;       // the part of the image that is resized
  int width = 0;    // what it becomes
  int height = 0;   //
  Region window;    // the part of that which is kept: a square of the side that the network reads
  int shift_x = 0;  // then the square is moved by so much over the kept pixels; what lies outside is black
  int shift_y = 0;
  bool flip = false;  // left and right
};

// For evaluation: resized, and cut from the middle. Throws Error(data), which begins with what `name` gives,
// for an image so long and thin that its resized form would not fit.
Framing evaluation_framing(const TransformOptions& transform, int width, int height,
                           const std::function<std::string()>& name);

// The whole of `box` becomes the square: torchvision's resized_crop.
Framing box_framing(const TransformOptions& transform, const Region& box);

}  // namespace mode_ensemble
