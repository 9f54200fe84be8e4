// PNG through libpng, turned into RGB as Pillow's convert("RGB") does: alpha and transparent colours are
// dropped (not blended), gamma is not applied, 16-bit channels keep their high byte, except that gray of 16
// bits without alpha is clipped to 255 (Pillow's "I;16", whose numbers are not brought to another range).
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "data/decode.h"
#include "data/files.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// Deflate makes at most 1,032 bytes out of one (zlib's technical notes), and a byte holds at most 8 pixels.
constexpr uint64_t kPngPixelsPerByte = 8 * 1032;

// libpng leaves by longjmp, so each step below holds no object with a destructor, and what must last is a
// member.
class PngDecoder {
 public:
  explicit PngDecoder(std::span<const uint8_t> bytes) : rest_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png_) info_ = png_create_info_struct(png_);
    if (!info_) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw Error(ErrorCode::memory,
                  "libpng could not be started: its version does not fit or memory is short.");
    }
  }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }

  bool read_header() {
    if (setjmp(png_jmpbuf(png_))) return false;
    png_set_read_fn(png_, this, on_read);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_dimensions() says it in our words
    png_read_info(png_, info_);
    width = png_get_image_width(png_, info_);
    height = png_get_image_height(png_, info_);
    depth = png_get_bit_depth(png_, info_);
    color = png_get_color_type(png_, info_);
    return true;
  }

  // After it a row holds `channels` samples a pixel of 8 bits, or one of 16 for gray images of 16 bits.
  bool start() {
    if (setjmp(png_jmpbuf(png_))) return false;
    if (color == PNG_COLOR_TYPE_PALETTE) {
      png_set_packing(png_);
      png_set_check_for_invalid_index(png_, 0);  // such a pixel has a colour: see `palette`
      int count = 0;
      png_colorp entries = nullptr;
      png_get_PLTE(png_, info_, &entries, &count);
      std::copy_n(entries, count, palette);
    } else if (color == PNG_COLOR_TYPE_GRAY) {
      if (depth < 8) png_set_expand_gray_1_2_4_to_8(png_);
    } else {
      if (depth == 16) png_set_strip_16(png_);
      if (color & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(png_);
    }
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    row_bytes = png_get_rowbytes(png_, info_);
    return true;
  }

  bool read_rows(uint8_t* rows) {
    if (setjmp(png_jmpbuf(png_))) return false;
    for (int pass = 0; pass < passes_; ++pass) {
      for (size_t y = 0; y < height; ++y) png_read_row(png_, rows + y * row_bytes, nullptr);
    }
    return true;  // what follows the last row is not looked at: Pillow takes a file without its end chunk
  }

  const char* message() const { return message_; }

  uint32_t width = 0;
  uint32_t height = 0;
  int depth = 0;
  int color = 0;
  size_t row_bytes = 0;
  png_color palette[256] = {};  // an index beyond the file's palette is black, as in Pillow

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::strncpy(self->message_, message, sizeof self->message_ - 1);
    png_longjmp(png, 1);
  }

  static void on_warning(png_structp, png_const_charp) {}  // libpng would print it

  static void on_read(png_structp png, png_bytep to, size_t count) {
    auto* self = static_cast<PngDecoder*>(png_get_io_ptr(png));
    if (count > self->rest_.size()) png_error(png, "the file is cut off");
    std::memcpy(to, self->rest_.data(), count);
    self->rest_ = self->rest_.subspan(count);
  }

  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::span<const uint8_t> rest_;
  int passes_ = 1;
  char message_[160] = {};
};

[[noreturn]] void refuse(const std::string& name, const PngDecoder& decoder, size_t bytes) {
  throw Error(ErrorCode::data, name + ": expected a whole PNG image, found a damaged one of " +
                                   grouped(bytes) + " bytes (" + decoder.message() + ").");
}

void palette_to_rgb(const png_color* palette, const std::vector<uint8_t>& from, uint8_t* to) {
  for (size_t i = 0; i < from.size(); ++i) {
    const png_color& color = palette[from[i]];
    to[3 * i] = color.red, to[3 * i + 1] = color.green, to[3 * i + 2] = color.blue;
  }
}

}  // namespace

// Always all of it: a row cannot be had without those above, and libpng checks each chunk when it has read
// it.
void decode_png(const std::string& name, std::span<const uint8_t> bytes, const DecodeChoice& choice,
                DecodedPart& part) {
  PngDecoder decoder(bytes);
  if (!decoder.read_header()) refuse(name, decoder, bytes.size());
  check_dimensions(name, "PNG", decoder.width, decoder.height, bytes.size(), kPngPixelsPerByte);
  if (!decoder.start()) refuse(name, decoder, bytes.size());

  part.width = static_cast<int>(decoder.width);
  part.height = static_cast<int>(decoder.height);
  choice(part.width, part.height);  // may refuse the size
  part.shrink = 1;
  part.held = {0, 0, part.width, part.height};
  const size_t count = size_t{decoder.width} * decoder.height;
  uint8_t* pixels = part.image.make(part.width, part.height);
  if (decoder.row_bytes == size_t{3} * decoder.width) {
    if (!decoder.read_rows(pixels)) refuse(name, decoder, bytes.size());
    return;
  }
  std::vector<uint8_t> rows(decoder.row_bytes * decoder.height);
  if (!decoder.read_rows(rows.data())) refuse(name, decoder, bytes.size());
  if (decoder.color == PNG_COLOR_TYPE_PALETTE) return palette_to_rgb(decoder.palette, rows, pixels);
  // Gray, with or without alpha: 8 bits, or 16 with the high byte first.
  const bool wide = decoder.row_bytes == size_t{2} * decoder.width;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t gray = !wide ? rows[i] : rows[2 * i] > 0 ? 255 : rows[2 * i + 1];
    pixels[3 * i] = pixels[3 * i + 1] = pixels[3 * i + 2] = gray;
  }
}

}  // namespace mode_ensemble
