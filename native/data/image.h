// Decoded pixels: 8-bit RGB, rows from the top, interleaved.
#pragma once
#include <cstdint>
#include <vector>

namespace mode_ensemble {

struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // [height, width, 3]
};

}  // namespace mode_ensemble
