#include "data/decode.h"

#include <algorithm>

#include "data/files.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

constexpr uint8_t kJpegStart[] = {0xff, 0xd8, 0xff};
constexpr uint8_t kPngStart[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

bool begins_with(std::span<const uint8_t> bytes, std::span<const uint8_t> start) {
  return bytes.size() >= start.size() && std::equal(start.begin(), start.end(), bytes.begin());
}

std::string hex_of(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    if (!text.empty()) text += ' ';
    text += "0123456789ABCDEF"[byte >> 4];
    text += "0123456789ABCDEF"[byte & 15];
  }
  return text;
}

}  // namespace

void check_dimensions(const std::string& name, const char* format, uint64_t width, uint64_t height,
                      uint64_t bytes, uint64_t pixels_per_byte) {
  const std::string claim = std::to_string(width) + " x " + std::to_string(height) + " pixels";
  if (width == 0 || height == 0) {
    throw Error(ErrorCode::data,
                name + ": expected a " + format + " image of at least 1 x 1 pixels, found " + claim + ".");
  }
  if (width * height > kMaxImagePixels) {
    throw Error(ErrorCode::data, name + ": expected a " + format + " image of at most " +
                                     grouped(kMaxImagePixels) + " pixels, found " + claim + ".");
  }
  // Below 4 million pixels the memory at stake (12 MB) is not worth refusing an odd file.
  constexpr uint64_t kHarmless = 1u << 22;
  if (width * height > kHarmless && width * height / pixels_per_byte > bytes) {
    throw Error(ErrorCode::data, name + ": expected a whole " + format + " image, found one that claims " +
                                     claim + " in only " + grouped(bytes) + " bytes.");
  }
}

void decode_part(const std::string& name, std::span<const uint8_t> bytes, DecodeMode mode,
                 const DecodeChoice& choice, DecodedPart& part) {
  if (begins_with(bytes, kJpegStart)) return decode_jpeg(name, bytes, mode, choice, part);
  if (begins_with(bytes, kPngStart)) return decode_png(name, bytes, choice, part);
  if (bytes.empty())
    throw Error(ErrorCode::data, name + ": expected a JPEG or PNG image, found an empty file.");
  throw Error(ErrorCode::data, name + ": expected a JPEG or PNG image, found a file of " +
                                   grouped(bytes.size()) + " bytes that begins with " +
                                   hex_of(bytes.first(std::min<size_t>(bytes.size(), 8))) + ".");
}

void decode_image(const std::string& name, std::span<const uint8_t> bytes, Image& image) {
  DecodedPart whole;
  whole.image = std::move(image);
  const auto all = [](int width, int height) { return DecodeWish{{0, 0, width, height}, 1}; };
  decode_part(name, bytes, DecodeMode::exact, all, whole);
  image = std::move(whole.image);
}

PixelView pixels_of(const std::string& name, const Sample& sample, Image& image) {
  if (sample.pixels.data) return sample.pixels;
  decode_image(name, sample.file, image);
  return image.view();
}

}  // namespace mode_ensemble
