// JPEG and PNG to 8-bit RGB, with the pixels that Pillow's Image.open(...).convert("RGB") gives.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "data/image.h"
#include "data/reader.h"

namespace mode_ensemble {

// Pillow's limit: an image of more than twice MAX_IMAGE_PIXELS = 1024³ / 4 / 3 is refused as a bomb
// (PIL/Image.py).
inline constexpr uint64_t kMaxImagePixels = 178'956'970;

// The format is told by the first bytes, not by the name. Orientation tags and colour profiles are not
// applied. `name` is the file, for errors: Error(data) where the bytes are no whole JPEG or PNG image.
// Thread-safe.
void decode_image(const std::string& name, std::span<const uint8_t> bytes, Image& image);

// The pixels of a sample, in memory or decoded into `image`.
PixelView pixels_of(const std::string& name, const Sample& sample, Image& image);

// The two formats; the bytes are known to begin as such a file does.
void decode_jpeg(const std::string& name, std::span<const uint8_t> bytes, Image& image);
void decode_png(const std::string& name, std::span<const uint8_t> bytes, Image& image);

// Refuses, before memory is taken, an image that is larger than kMaxImagePixels or that `bytes` bytes cannot
// hold. `pixels_per_byte`: the most that the format's compression can reach.
void check_dimensions(const std::string& name, const char* format, uint64_t width, uint64_t height,
                      uint64_t bytes, uint64_t pixels_per_byte);

}  // namespace mode_ensemble
