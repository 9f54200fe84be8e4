// Resampling to any size.
#pragma once
#include "data/image.h"

namespace mode_ensemble {

enum class Filter { bilinear, bicubic };

// As Pillow's Image.resize((width, height), filter) on 8-bit RGB. The sizes are at least 1; `to` is not
// `from`.
void resize_to(const PixelView& from, int width, int height, Filter filter, Image& to);

}  // namespace mode_ensemble
