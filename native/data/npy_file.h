// numpy's .npy files, by numpy.lib.format (NEP 1). The header is a Python literal; it is parsed by hand and
// never evaluated.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/byte_source.h"

namespace mode_ensemble {

struct NpyHeader {
  char kind = ' ';  // 'u', 'i', 'f', …
  int bytes = 0;    // of an element
  bool big_endian = false;
  std::string type;  // as written: "|u1"
  std::vector<int64_t> shape;
  int64_t elements = 0;  // product of the shape
  int64_t data = 0;      // where the elements begin; the source holds all of them
};

// Format versions 1.0 to 3.0, C order, plain types. Throws Error of the source's code that names a byte.
NpyHeader read_npy_header(const ByteSource& source);

// Whole numbers of any type, [N] or [N, 1], each from 0 to `most`.
std::vector<int32_t> read_npy_labels(const ByteSource& source, int64_t count, int32_t most);

// Images: uint8 [N, height, width, 3], or gray, [N, height, width, 1] or [N, height, width].
struct NpyImages {
  NpyHeader header;
  int64_t count = 0;
  int width = 0, height = 0, channels = 0;

  size_t pixels() const { return static_cast<size_t>(width) * static_cast<size_t>(height); }
};

NpyImages check_npy_images(const ByteSource& source);

// One image as RGB; `to` has room for 3 · pixels() bytes.
void read_npy_image(const ByteSource& source, const NpyImages& images, int64_t index, uint8_t* to);

std::string shape_text(const NpyHeader& header);  // "uint8 [2, 3]" as far as it is one

}  // namespace mode_ensemble
