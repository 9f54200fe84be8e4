// Decoded pixels: 8-bit RGB, rows from the top, interleaved.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mode_ensemble {

// A part of an image, in its pixels.
struct Region {
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
};

// Pixels that belong to someone else: [height, width, 3], each row `stride` bytes after the one above.
struct PixelView {
  const uint8_t* data = nullptr;
  int width = 0;
  int height = 0;
  size_t stride = 0;
};

struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // [height, width, 3]

  PixelView view() const { return {pixels.data(), width, height, size_t{3} * static_cast<size_t>(width)}; }
};

}  // namespace mode_ensemble
