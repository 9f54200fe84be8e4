// JPEG through libjpeg-turbo with its defaults (accurate integer DCT, smooth chroma upsampling), as Pillow
// uses it.
//
// What Pillow accepts is accepted and the rest refused: a file that ends too early is an error (the source
// below never makes up bytes: it runs dry, as Pillow's does), while what libjpeg only warns of is not.
//
// Of a part that is wanted, only its rows and columns go through the inverse DCT, chroma upsampling and
// colour conversion; the entropy-coded data have to be gone through all the same, in exact mode to the end.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <vector>

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

  Step start(J_COLOR_SPACE output, int shrink) {
    if (setjmp(errors_.jump)) return Step::failed;
    info_.out_color_space = output;
    info_.scale_num = 1;
    info_.scale_denom = static_cast<unsigned>(shrink);
    return jpeg_start_decompress(&info_) ? Step::done : Step::out_of_bytes;
  }

  // From here on rows begin at *left and have *width pixels: at least those asked for.
  Step keep_columns(JDIMENSION* left, JDIMENSION* width) {
    if (setjmp(errors_.jump)) return Step::failed;
    jpeg_crop_scanline(&info_, left, width);
    return Step::done;
  }

  Step skip_rows(JDIMENSION count) {
    if (setjmp(errors_.jump)) return Step::failed;
    // Where bytes run out in between, the next row that is read finds it out.
    return jpeg_skip_scanlines(&info_, count) == count ? Step::done : Step::out_of_bytes;
  }

  Step read_rows(uint8_t* rows, size_t stride, int count) {
    if (setjmp(errors_.jump)) return Step::failed;
    uint8_t* to = rows;  // what changes is local to this side of setjmp
    for (int left = count; left > 0;) {
      constexpr int kMost = 16;  // that one inverse DCT gives
      uint8_t* next[kMost];
      for (int i = 0; i < kMost; ++i) next[i] = to + stride * static_cast<size_t>(i);
      const auto got = jpeg_read_scanlines(&info_, next, static_cast<JDIMENSION>(std::min(left, kMost)));
      if (got == 0) return Step::out_of_bytes;
      to += stride * got;
      left -= static_cast<int>(got);
    }
    return Step::done;
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

// Where a progressive image's last scans are missing, libjpeg smooths what it has over block borders, and
// looks further than the part that is wanted. coef_bits holds the bits that each coefficient still lacks.
bool is_smoothed(const jpeg_decompress_struct& info) {
  if (!info.progressive_mode || !info.coef_bits) return false;
  for (int c = 0; c < info.num_components; ++c) {
    for (int k = 1; k < 10; ++k)
      if (info.coef_bits[c][k] != 0) return true;
  }
  return false;
}

// libjpeg can leave out rows and columns of any image, but the arithmetic at the borders is that of the whole
// image only for the usual chroma samplings (tested for these, at every border).
bool can_leave_out(const jpeg_decompress_struct& info) {
  if (is_smoothed(info)) return false;
  if (info.num_components == 1) return true;
  if (info.num_components != 3) return false;
  const jpeg_component_info* part = info.comp_info;
  const bool usual_chroma = part[1].h_samp_factor == 1 && part[1].v_samp_factor == 1 &&
                            part[2].h_samp_factor == 1 && part[2].v_samp_factor == 1;
  const bool usual_luma = part[0].h_samp_factor <= 2 && part[0].v_samp_factor <= part[0].h_samp_factor;
  return usual_chroma && usual_luma;
}

// The wanted part in the pixels of an image that is `shrink` times smaller, and what a resampling filter may
// touch around it.
Region shrunk(const Region& region, int shrink, int width, int height) {
  if (shrink == 1) return region;
  const int left = region.left / shrink, top = region.top / shrink;
  const int right = std::min((region.left + region.width + shrink - 1) / shrink, width);
  const int bottom = std::min((region.top + region.height + shrink - 1) / shrink, height);
  return {left, top, right - left, bottom - top};
}

// Chroma upsampling looks one pixel to each side, so what is decoded is a little more than what is wanted.
constexpr int kMargin = 2;

Region with_margin(const Region& region, int width, int height) {
  const int left = std::max(region.left - kMargin, 0), top = std::max(region.top - kMargin, 0);
  return {left, top, std::min(region.left + region.width + kMargin, width) - left,
          std::min(region.top + region.height + kMargin, height) - top};
}

void to_rgb(const uint8_t* row, int components, int width, uint8_t* to) {
  if (components == 4) return inverted_cmyk_to_rgb(row, width, to);
  for (int x = 0; x < width; ++x) to[3 * x] = to[3 * x + 1] = to[3 * x + 2] = row[x];
}

}  // namespace

void decode_jpeg(const std::string& name, std::span<const uint8_t> bytes, DecodeMode mode,
                 const DecodeChoice& choice, DecodedPart& part) {
  JpegDecoder decoder(bytes);
  const auto check = [&](Step step) {
    if (step != Step::done) refuse(name, step, decoder, bytes.size());
  };
  check(decoder.read_header());
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
  part.width = static_cast<int>(info.image_width);
  part.height = static_cast<int>(info.image_height);
  const DecodeWish wish = choice(part.width, part.height);
  part.shrink = mode == DecodeMode::fast ? wish.most_shrink : 1;
  const J_COLOR_SPACE output = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
  check(decoder.start(output, part.shrink));

  const auto width = static_cast<int>(info.output_width), height = static_cast<int>(info.output_height);
  part.held = {0, 0, width, height};
  if (can_leave_out(info))
    part.held = with_margin(shrunk(wish.region, part.shrink, width, height), width, height);
  if (part.held.width < width) {
    auto left = static_cast<JDIMENSION>(part.held.left), columns = static_cast<JDIMENSION>(part.held.width);
    check(decoder.keep_columns(&left, &columns));
    part.held.left = static_cast<int>(left);
    part.held.width = static_cast<int>(columns);
  }
  if (part.held.top > 0) check(decoder.skip_rows(static_cast<JDIMENSION>(part.held.top)));

  uint8_t* to = part.image.make(part.held.width, part.held.height);
  const size_t row_bytes = size_t{3} * static_cast<size_t>(part.held.width);
  std::vector<uint8_t> row;
  if (components == 3) {
    check(decoder.read_rows(to, row_bytes, part.held.height));
  } else {
    row.resize(static_cast<size_t>(part.held.width) * components);
    for (int y = 0; y < part.held.height; ++y, to += row_bytes) {
      check(decoder.read_rows(row.data(), 0, 1));
      to_rgb(row.data(), components, part.held.width, to);
    }
  }
  const int below = height - part.held.top - part.held.height;
  if (mode == DecodeMode::fast || below == 0) return;
  // Is the rest of the file there? Its last row can only be had after all the others.
  if (below > 1) check(decoder.skip_rows(static_cast<JDIMENSION>(below - 1)));
  row.resize(row_bytes);
  check(decoder.read_rows(row.data(), 0, 1));
}

}  // namespace mode_ensemble
