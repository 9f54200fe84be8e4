// JPEG through libjpeg-turbo with its defaults (accurate integer DCT, smooth chroma upsampling), as Pillow
// uses it.
//
// What Pillow accepts is accepted and the rest refused: a file that ends too early is an error (the source
// below never makes up bytes: it runs dry, as Pillow's does), while what libjpeg only warns of is not.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>

// clang-format off
#include <jpeglib.h>  // after cstddef and cstdio: it needs size_t and FILE
// clang-format on

#include "data/decode.h"
#include "data/files.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// Huffman-coded, each 8 x 8 block of the finest component takes at least one bit.
constexpr uint64_t kJpegPixelsPerByte = 8 * 64;

struct ErrorManager {
  jpeg_error_mgr base;  // first: libjpeg hands back a pointer to it
  jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, manager->message);
  std::longjmp(manager->jump, 1);
}

void on_message(j_common_ptr) {}  // libjpeg would print its warnings

void no_source(j_decompress_ptr) {}

boolean run_dry(j_decompress_ptr) { return FALSE; }  // "suspended": no more bytes are coming

void skip_bytes(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  const size_t part = std::min<size_t>(static_cast<size_t>(count), info->src->bytes_in_buffer);
  info->src->next_input_byte += part;
  info->src->bytes_in_buffer -= part;
}

enum class Step { done, out_of_bytes, failed };

// libjpeg leaves by longjmp, so each step below holds no object with a destructor, and what must last is a
// member.
class JpegDecoder {
 public:
  explicit JpegDecoder(std::span<const uint8_t> bytes) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = on_error;
    errors_.base.output_message = on_message;
    errors_.message[0] = '\0';
    source_.next_input_byte = bytes.data();
    source_.bytes_in_buffer = bytes.size();
    source_.init_source = no_source;
    source_.fill_input_buffer = run_dry;
    source_.skip_input_data = skip_bytes;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.term_source = no_source;
  }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }

  Step read_header() {
    if (setjmp(errors_.jump)) return Step::failed;
    jpeg_create_decompress(&info_);
    info_.src = &source_;
    return jpeg_read_header(&info_, TRUE) == JPEG_SUSPENDED ? Step::out_of_bytes : Step::done;
  }

  Step start(J_COLOR_SPACE output) {
    if (setjmp(errors_.jump)) return Step::failed;
    info_.out_color_space = output;
    return jpeg_start_decompress(&info_) ? Step::done : Step::out_of_bytes;
  }

  Step read_row(uint8_t* row) {
    if (setjmp(errors_.jump)) return Step::failed;
    return jpeg_read_scanlines(&info_, &row, 1) == 1 ? Step::done : Step::out_of_bytes;
  }

  const jpeg_decompress_struct& info() const { return info_; }
  const char* message() const { return errors_.message; }

 private:
  jpeg_decompress_struct info_{};
  jpeg_source_mgr source_{};
  ErrorManager errors_{};
};

// a · b / 255, rounded: Pillow's MULDIV255 (libImaging/ImagingUtils.h).
int scaled(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// Pillow takes every CMYK JPEG to be stored inverted, as Adobe's programs do (rawmode "CMYK;I"), and converts
// by R = (255 - K) - C (255 - K) / 255 (libImaging/Convert.c, cmyk2rgb).
void inverted_cmyk_to_rgb(const uint8_t* from, int width, uint8_t* to) {
  for (int x = 0; x < width; ++x, from += 4, to += 3) {
    const int white = from[3];  // 255 - K, K being stored inverted
    for (int c = 0; c < 3; ++c) to[c] = static_cast<uint8_t>(white - scaled(255 - from[c], white));
  }
}

[[noreturn]] void refuse(const std::string& name, Step step, const JpegDecoder& decoder, size_t bytes) {
  if (step == Step::out_of_bytes) {
    throw Error(ErrorCode::data, name + ": expected a whole JPEG image, found one that is cut off after " +
                                     grouped(bytes) + " bytes.");
  }
  throw Error(ErrorCode::data, name + ": expected a JPEG image, found a damaged or unsupported one (" +
                                   decoder.message() + ").");
}

}  // namespace

void decode_jpeg(const std::string& name, std::span<const uint8_t> bytes, Image& image) {
  JpegDecoder decoder(bytes);
  Step step = decoder.read_header();
  if (step != Step::done) refuse(name, step, decoder, bytes.size());

  const jpeg_decompress_struct& info = decoder.info();
  const int components = info.num_components;
  if ((components != 1 && components != 3 && components != 4) || info.data_precision != 8) {
    throw Error(ErrorCode::data, name + ": expected a JPEG image of 1, 3 or 4 components of 8 bits, found " +
                                     std::to_string(components) + " of " +
                                     std::to_string(info.data_precision) + " bits.");
  }
  // Arithmetic coding has no such bound.
  const uint64_t pixels_per_byte = info.arith_code ? kMaxImagePixels : kJpegPixelsPerByte;
  check_dimensions(name, "JPEG", info.image_width, info.image_height, bytes.size(), pixels_per_byte);

  step = decoder.start(components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK);
  if (step != Step::done) refuse(name, step, decoder, bytes.size());

  image.width = static_cast<int>(info.output_width);
  image.height = static_cast<int>(info.output_height);
  image.pixels.resize(size_t{3} * info.output_width * info.output_height);
  std::vector<uint8_t> row(components == 3 ? 0 : size_t{info.output_width} * components);
  for (int y = 0; y < image.height; ++y) {
    uint8_t* to = image.pixels.data() + size_t{3} * image.width * y;
    step = decoder.read_row(components == 3 ? to : row.data());
    if (step != Step::done) refuse(name, step, decoder, bytes.size());
    if (components == 4) inverted_cmyk_to_rgb(row.data(), image.width, to);
    if (components == 1) {
      for (int x = 0; x < image.width; ++x) to[3 * x] = to[3 * x + 1] = to[3 * x + 2] = row[x];
    }
  }
}

}  // namespace mode_ensemble
