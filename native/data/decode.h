// JPEG and PNG to 8-bit RGB, with the pixels that Pillow's Image.open(...).convert("RGB") gives.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "data/image.h"
#include "data/reader.h"

namespace mode_ensemble {

// Pillow's limit: an image of more than twice MAX_IMAGE_PIXELS = 1024³ / 4 / 3 is refused as a bomb
// (PIL/Image.py).
inline constexpr uint64_t kMaxImagePixels = 178'956'970;

enum class DecodeMode {
  exact,  // Pillow's pixels; a damaged file is refused even where the damage lies outside of the wanted part
  fast,   // may decode at a half, a quarter or an eighth of the size, and does not look at what follows the
          // wanted part; then it is resized roughly
};

// The part that is wanted of an image of a certain size, in its pixels.
struct DecodeWish {
  Region region;
  // In fast mode the image may be as many times smaller: 1, 2, 4 or 8.
  int most_shrink = 1;
};
using DecodeChoice = std::function<DecodeWish(int width, int height)>;

struct DecodedPart {
  int width = 0;  // of the whole image, at its own size
  int height = 0;
  int shrink = 1;  // what was decoded is so many times smaller, rounded up
  Region held;     // the part of the (shrunk) image that `image` holds: at least the wanted one
  Image image;     // only the wanted pixels are right, in exact mode
};

// Decodes the part of an image that `choice` asks for once the size is known. The format is told by the first
// bytes, not by the name. Orientation tags and colour profiles are not applied. `name` is the file, for
// errors: Error(data) where the bytes are no whole JPEG or PNG image. Thread-safe.
void decode_part(const std::string& name, std::span<const uint8_t> bytes, DecodeMode mode,
                 const DecodeChoice& choice, DecodedPart& part);

// All of it, exactly.
void decode_image(const std::string& name, std::span<const uint8_t> bytes, Image& image);

// The pixels of a sample, in memory or decoded into `image`.
PixelView pixels_of(const std::string& name, const Sample& sample, Image& image);

// The two formats; the bytes are known to begin as such a file does.
void decode_jpeg(const std::string& name, std::span<const uint8_t> bytes, DecodeMode mode,
                 const DecodeChoice& choice, DecodedPart& part);
void decode_png(const std::string& name, std::span<const uint8_t> bytes, const DecodeChoice& choice,
                DecodedPart& part);

// Refuses, before memory is taken, an image that is larger than kMaxImagePixels or that `bytes` bytes cannot
// hold. `pixels_per_byte`: the most that the format's compression can reach.
void check_dimensions(const std::string& name, const char* format, uint64_t width, uint64_t height,
                      uint64_t bytes, uint64_t pixels_per_byte);

}  // namespace mode_ensemble
