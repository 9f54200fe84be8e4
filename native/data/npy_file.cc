#include "data/npy_file.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "data/decode.h"
#include "data/files.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

constexpr unsigned char kMagic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
constexpr int64_t kMaxHeader = 64 << 10;
constexpr size_t kMaxDimensions = 32;
constexpr int64_t kPiece = 64 << 10;

// {'descr': '|u1', 'fortran_order': False, 'shape': (3, 4), }: the three keys in any order.
class HeaderText {
 public:
  HeaderText(const ByteSource& source, std::string_view text, int64_t offset)
      : source_(source), text_(text), offset_(offset) {}

  void parse(NpyHeader& header) {
    expect('{');
    while (!take('}')) {
      const std::string key = string("a key");
      expect(':');
      if (key == "descr")
        once(0), type(header);
      else if (key == "fortran_order")
        once(1), order();
      else if (key == "shape")
        once(2), shape(header);
      else
        fail("expected the keys 'descr', 'fortran_order' and 'shape', found '" + printable(key) + "'.");
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    space();
    if (at_ != text_.size()) fail("expected the end of the header, found more.");
    for (const bool seen : seen_)
      if (!seen) fail("expected the keys 'descr', 'fortran_order' and 'shape', found fewer.");
  }

 private:
  [[noreturn]] void fail(const std::string& sentence) const {
    source_.fail_at(offset_ + static_cast<int64_t>(at_), sentence);
  }
  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool take(char c) {
    space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(std::string("expected '") + c + "' in the array's header, found something else.");
  }
  bool word(std::string_view what) {
    space();
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }
  void once(size_t key) {
    if (seen_[key]) fail("expected each key once, found one twice.");
    seen_[key] = true;
  }

  std::string string(const char* what) {
    space();
    const char quote = at_ < text_.size() ? text_[at_] : ' ';
    const size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string_view::npos;
    if (end == std::string_view::npos || end - at_ > 64)
      fail(std::string("expected ") + what + ", a short text, found something else.");
    const auto text = std::string(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return text;
  }

  void type(NpyHeader& header) {
    const std::string text = string("a plain type of numbers");
    header.type = printable(text);
    const bool order = text.size() > 1 && (text[0] == '<' || text[0] == '>' || text[0] == '|');
    const char* end = text.data() + text.size();
    if (!order ||
        std::from_chars(text.data() + std::min<size_t>(2, text.size()), end, header.bytes).ptr != end ||
        header.bytes < 1 || header.bytes > 1 << 20)
      fail("expected a plain type of numbers such as '|u1', found '" + header.type + "'.");
    header.big_endian = text[0] == '>';
    header.kind = text[1];
  }

  void order() {
    if (word("True"))
      fail(
          "expected an array in C order, found 'fortran_order': True; save it with numpy.ascontiguousarray.");
    if (!word("False")) fail("expected True or False, found something else.");
  }

  void shape(NpyHeader& header) {
    expect('(');
    while (!take(')')) {
      space();
      int64_t side = -1;
      const char* begin = text_.data() + at_;
      const auto [stop, failure] = std::from_chars(begin, text_.data() + text_.size(), side);
      if (failure != std::errc() || side < 0)
        fail("expected a side of the array, a whole number from 0, found something else.");
      at_ += static_cast<size_t>(stop - begin);
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // a long integer of Python 2
      if (header.shape.size() == kMaxDimensions) fail("expected at most 32 dimensions, found more.");
      header.shape.push_back(side);
      if (!take(',')) {
        expect(')');
        break;
      }
    }
  }

  const ByteSource& source_;
  std::string_view text_;
  int64_t offset_;
  size_t at_ = 0;
  bool seen_[3] = {};
};

}  // namespace

NpyHeader read_npy_header(const ByteSource& source) {
  unsigned char begin[12] = {};
  const int64_t there = std::min<int64_t>(sizeof begin, source.size());
  source.read_at(0, begin, there);
  if (there < 6 || std::memcmp(begin, kMagic, sizeof kMagic) != 0)
    source.fail_at(0, "expected a .npy file, which begins with \\x93NUMPY, found another file.");
  if (there < 10) source.fail_at(there, "expected the length of the header, found the end of the file.");
  if (begin[6] < 1 || begin[6] > 3 || begin[7] != 0)
    source.fail_at(6, "expected format version 1.0 to 3.0, found " + std::to_string(begin[6]) + "." +
                          std::to_string(begin[7]) + ".");
  const int64_t at = begin[6] == 1 ? 10 : 12;
  const auto length = static_cast<int64_t>(little_endian(begin + 8, begin[6] == 1 ? 2 : 4));
  if (length > kMaxHeader)
    source.fail_at(8, "expected a header of at most " + grouped(kMaxHeader) + " bytes, found one of " +
                          grouped(static_cast<uint64_t>(length)) + ".");
  if (there < at || length > source.size() - at)
    source.fail_at(source.size(), "expected a header of " + grouped(static_cast<uint64_t>(length)) +
                                      " bytes, found the end of the file.");
  std::string text(static_cast<size_t>(length), ' ');
  source.read_at(at, text.data(), length);
  NpyHeader header;
  header.data = at + length;
  HeaderText(source, text, at).parse(header);
  header.elements = 1;
  bool too_large = false;
  for (const int64_t side : header.shape)
    too_large = too_large || __builtin_mul_overflow(header.elements, side, &header.elements);
  int64_t bytes = 0;
  too_large = too_large || __builtin_mul_overflow(header.elements, header.bytes, &bytes);
  const int64_t left = source.size() - header.data;
  if (too_large || bytes > left)
    source.fail_at(source.size(),
                   "expected " + shape_text(header) +
                       (too_large ? "" : ", " + grouped(static_cast<uint64_t>(bytes)) + " bytes") +
                       " behind the header, found the end of the file after " +
                       grouped(static_cast<uint64_t>(left)) + ".");
  return header;
}

std::string shape_text(const NpyHeader& header) {
  std::string text = "'" + header.type + "' [";
  for (size_t i = 0; i < header.shape.size(); ++i) text += (i ? ", " : "") + std::to_string(header.shape[i]);
  return text + "]";
}

std::vector<int32_t> read_npy_labels(const ByteSource& source, int64_t count, int32_t most) {
  const NpyHeader header = read_npy_header(source);
  const bool column = header.shape.size() == 2 && header.shape[1] == 1;
  const bool whole = (header.kind == 'i' || header.kind == 'u') &&
                     (header.bytes == 1 || header.bytes == 2 || header.bytes == 4 || header.bytes == 8);
  if (!whole || (header.shape.size() != 1 && !column))
    source.fail_at(header.data, "expected labels, whole numbers [N], found " + shape_text(header) + ".");
  if (header.elements != count)
    source.fail_at(header.data, "expected " + grouped(static_cast<uint64_t>(count)) +
                                    " labels, one an image, found " +
                                    grouped(static_cast<uint64_t>(header.elements)) + ".");
  std::vector<int32_t> labels;
  labels.reserve(static_cast<size_t>(count));
  std::vector<uint8_t> piece;
  for (int64_t done = 0; done < count;) {
    const int64_t n = std::min(count - done, kPiece / header.bytes);
    piece.resize(static_cast<size_t>(n * header.bytes));
    source.read_at(header.data + done * header.bytes, piece.data(), n * header.bytes);
    for (int64_t i = 0; i < n; ++i) {
      uint8_t* at = piece.data() + i * header.bytes;
      if (header.big_endian) std::reverse(at, at + header.bytes);
      const uint64_t bits = little_endian(at, header.bytes);
      const int unused = 64 - 8 * header.bytes;
      const bool negative = header.kind == 'i' && static_cast<int64_t>(bits << unused) < 0;
      if (negative || bits > static_cast<uint64_t>(most))
        source.fail_at(header.data + (done + i) * header.bytes,
                       "expected labels 0 to " + std::to_string(most) + ", found " +
                           (negative ? std::to_string(static_cast<int64_t>(bits << unused) >> unused)
                                     : std::to_string(bits)) +
                           " for image " + std::to_string(done + i) + ".");
      labels.push_back(static_cast<int32_t>(bits));
    }
    done += n;
  }
  return labels;
}

NpyImages check_npy_images(const ByteSource& source) {
  NpyImages images;
  images.header = read_npy_header(source);
  const std::vector<int64_t>& shape = images.header.shape;
  const auto most = static_cast<int64_t>(kMaxImagePixels);
  const bool fits = images.header.kind == 'u' && images.header.bytes == 1 &&
                    (shape.size() == 3 || (shape.size() == 4 && (shape[3] == 3 || shape[3] == 1))) &&
                    images.header.elements > 0 && shape[1] <= most && shape[2] <= most &&
                    shape[1] * shape[2] <= most;
  if (!fits)
    source.fail_at(images.header.data,
                   "expected images, uint8 [N, height, width, 3] or [N, height, width], found " +
                       shape_text(images.header) + ".");
  images.count = shape[0];
  images.height = static_cast<int>(shape[1]);
  images.width = static_cast<int>(shape[2]);
  images.channels = shape.size() == 4 ? static_cast<int>(shape[3]) : 1;
  return images;
}

void read_npy_image(const ByteSource& source, const NpyImages& images, int64_t index, uint8_t* to) {
  const size_t pixels = images.pixels();
  const auto stored = static_cast<int64_t>(pixels) * images.channels;
  // Gray is read into the last third and spread from the front, which never overtakes it.
  uint8_t* from = to + (images.channels == 3 ? 0 : 2 * pixels);
  source.read_at(images.header.data + index * stored, from, stored);
  if (images.channels == 3) return;
  for (size_t i = 0; i < pixels; ++i, to += 3) to[0] = to[1] = to[2] = from[i];
}

}  // namespace mode_ensemble
