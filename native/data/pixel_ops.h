// Changes of a whole 8-bit RGB picture, byte for byte what Pillow's ImageOps, ImageEnhance and
// Image.transform(AFFINE) give. They do not change its size.
#pragma once
#include <array>
#include <cstdint>

#include "data/image.h"
#include "data/resize.h"

namespace mode_ensemble {

using Rgb = std::array<uint8_t, 3>;

// A picture, and memory for the next one. Ops leave their result in `image`.
struct OpCanvas {
  Image image, spare;
};

void auto_contrast(Image& image);
void equalize(Image& image);
void invert(Image& image);
void posterize(Image& image, int bits);      // kept, 0 to 8
void solarize(Image& image, int threshold);  // values from there on are inverted
void solarize_add(Image& image, int add);    // to values below 128
void saturate(Image& image, double factor);  // ImageEnhance.Color
void change_contrast(Image& image, double factor);
void brighten(Image& image, double factor);
void sharpen(OpCanvas& canvas, double factor);

// Where what lies outside of the picture is asked for, it is of the color `outside`.
struct Resampling {
  Filter filter = Filter::bilinear;
  Rgb outside{};
};

// The pixel at (x, y) becomes what is at (m₀ x + m₁ y + m₂, m₃ x + m₄ y + m₅); centres of pixels lie at
// halves.
void transform_affine(OpCanvas& canvas, const std::array<double, 6>& m, const Resampling& how);
// Counter-clockwise about the middle, from −90 to 90 degrees.
void rotate(OpCanvas& canvas, double degrees, const Resampling& how);

}  // namespace mode_ensemble
