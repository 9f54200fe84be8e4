// Resampling to any size; reader.h has the square case, which is what the CIFAR transform asks for.
#pragma once
#include "data/image.h"

namespace mode_ensemble {

// As Pillow's Image.resize((width, height), BILINEAR) on 8-bit RGB. The sizes are at least 1; `to` is not
// `from`.
void resize_to(const Image& from, int width, int height, Image& to);

}  // namespace mode_ensemble
