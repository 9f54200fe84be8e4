#include "data/mat_file.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "data/files.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kHeader = 128, kTag = 8, kWindow = 64 << 10;
constexpr int64_t kMostInflated = 1032;  // bytes out of one, the most that deflate reaches (zlib's FAQ)
constexpr uint32_t kMatrix = 14, kCompressed = 15;
constexpr int64_t kMaxDimensions = 32, kMaxName = 63;
constexpr uint8_t kComplex = 0x08, kLogical = 0x02;

// Types of stored numbers, by their number in the format.
struct Storage {
  int bytes;  // 0 for what is no number
  char kind;  // signed, unsigned, real
};
constexpr Storage kStorage[] = {{0, ' '}, {1, 'i'}, {1, 'u'}, {2, 'i'}, {2, 'u'}, {4, 'i'}, {4, 'u'},
                                {4, 'f'}, {0, ' '}, {8, 'f'}, {0, ' '}, {0, ' '}, {8, 'i'}, {8, 'u'}};
// Classes of arrays, by theirs; those from 6 to 15 are numbers.
constexpr const char* kClasses[] = {"",       "cell",   "struct", "object", "char",  "sparse",
                                    "double", "single", "int8",   "uint8",  "int16", "uint16",
                                    "int32",  "uint32", "int64",  "uint64"};
constexpr uint8_t kFirstNumeric = 6;

std::string count_text(int64_t n) { return grouped(static_cast<uint64_t>(n)); }

// Bytes in order through a small window.
class Stream {
 public:
  virtual ~Stream() = default;
  void read(void* to, int64_t n) {
    auto* out = static_cast<uint8_t*>(to);
    position_ += n;
    while (n > 0) {
      if (at_ == window_.size()) at_ = 0, fill(window_);
      const int64_t take = std::min(n, static_cast<int64_t>(window_.size() - at_));
      std::memcpy(out, &window_[at_], static_cast<size_t>(take));
      at_ += static_cast<size_t>(take), out += take, n -= take;
    }
  }
  void skip(int64_t n) {
    uint8_t nothing[8];
    for (; n > 0; n -= 8) read(nothing, std::min<int64_t>(n, 8));
  }
  int64_t position() const { return position_; }  // bytes read so far
  // The most that may still come.
  int64_t most_left() const { return static_cast<int64_t>(window_.size() - at_) + most_to_fill(); }
  virtual int64_t offset() const = 0;  // in the file, for messages
  virtual void finish() {}

 protected:
  virtual void fill(std::vector<uint8_t>& window) = 0;  // at least one byte, or throws
  virtual int64_t most_to_fill() const = 0;
  size_t buffered() const { return window_.size() - at_; }

 private:
  std::vector<uint8_t> window_;
  size_t at_ = 0;
  int64_t position_ = 0;
};

class Plain : public Stream {
 public:
  Plain(const ByteSource& source, int64_t begin, int64_t end) : source_(source), at_(begin), end_(end) {}
  int64_t offset() const override { return at_ - static_cast<int64_t>(buffered()); }

 protected:
  void fill(std::vector<uint8_t>& window) override {
    if (at_ == end_) source_.fail_at(at_, "expected more of a variable, found its end.");
    window.resize(static_cast<size_t>(std::min(kWindow, end_ - at_)));
    source_.read_at(at_, window.data(), static_cast<int64_t>(window.size()));
    at_ += static_cast<int64_t>(window.size());
  }
  int64_t most_to_fill() const override { return end_ - at_; }

 private:
  const ByteSource& source_;
  int64_t at_, end_;
};

class Inflated : public Stream {
 public:
  Inflated(const ByteSource& source, int64_t begin, int64_t end) : source_(source), at_(begin), end_(end) {
    if (inflateInit(&zlib_) != Z_OK) throw std::bad_alloc();
  }
  ~Inflated() override { inflateEnd(&zlib_); }
  Inflated(const Inflated&) = delete;
  Inflated& operator=(const Inflated&) = delete;
  int64_t offset() const override { return at_ - zlib_.avail_in; }

  // To the end of the stream, where its checksum stands.
  void finish() override {
    std::vector<uint8_t> rest;
    while (!ended_) fill_some(rest);
  }

 protected:
  void fill(std::vector<uint8_t>& window) override {
    fill_some(window);
    if (window.empty()) source_.fail_at(offset(), "expected more of a compressed variable, found its end.");
  }
  int64_t most_to_fill() const override { return ended_ ? 0 : (end_ - offset() + 1) * kMostInflated; }

 private:
  void fill_some(std::vector<uint8_t>& window) {
    window.resize(kWindow);
    zlib_.next_out = window.data();
    zlib_.avail_out = static_cast<uInt>(window.size());
    while (!ended_ && zlib_.avail_out > 0) {
      if (zlib_.avail_in == 0) {
        if (at_ == end_)
          source_.fail_at(at_, "expected the end of a compressed variable, found none: it is cut short.");
        input_.resize(static_cast<size_t>(std::min(kWindow, end_ - at_)));
        source_.read_at(at_, input_.data(), static_cast<int64_t>(input_.size()));
        at_ += static_cast<int64_t>(input_.size());
        zlib_.next_in = input_.data();
        zlib_.avail_in = static_cast<uInt>(input_.size());
      }
      const int status = inflate(&zlib_, Z_NO_FLUSH);
      ended_ = status == Z_STREAM_END;
      if (status == Z_MEM_ERROR) throw std::bad_alloc();
      if (status != Z_OK && !ended_)
        source_.fail_at(offset(), std::string("the compressed variable is damaged: ") +
                                      (zlib_.msg ? zlib_.msg : "no zlib stream") + ".");
    }
    window.resize(window.size() - zlib_.avail_out);
  }

  const ByteSource& source_;
  int64_t at_, end_;
  z_stream zlib_{};
  bool ended_ = false;
  std::vector<uint8_t> input_;
};

struct Tag {
  uint32_t type = 0;
  int64_t size = 0;
  bool small = false;  // the data stands in the tag's last four bytes
};

// One variable, from behind the tag of its matrix.
class Variable : public MatContent {
 public:
  Variable(const ByteSource& source, Stream& in, bool big, int64_t size, int64_t offset)
      : source_(source), in_(in), big_(big), end_(in.position() + size) {
    array_.offset = offset;
  }

  // False for what has no name where arrays have theirs: function handles and the like.
  bool read_header() {
    const Tag flags = tag();
    if (flags.type != 6 || flags.size != 8) fail("expected an array's flags");
    const uint64_t word = number(4);
    in_.skip(4);
    const auto kind = static_cast<uint8_t>(word & 0xff), bits = static_cast<uint8_t>(word >> 8 & 0xff);
    if (kind == 0 || kind >= std::size(kClasses)) return false;
    const Tag sizes = tag();
    if (sizes.type != 5 || sizes.size % 4 != 0 || sizes.size > 4 * kMaxDimensions)
      fail("expected an array's dimensions, at most 32");
    for (int64_t i = 0; i < sizes.size; i += 4)
      array_.shape.push_back(static_cast<int32_t>(static_cast<uint32_t>(number(4))));
    pad(sizes);
    const Tag name = tag();
    if (name.size > kMaxName) return false;
    array_.name.resize(static_cast<size_t>(name.size));
    in_.read(array_.name.data(), name.size);
    pad(name);
    if (kind < kFirstNumeric) return true;
    array_.type = bits & kComplex ? "complex" : bits & kLogical ? "logical" : kClasses[kind];
    return true;
  }

  // Before anybody makes room for it.
  void check_extent() {
    if (array_.type.empty()) return;
    int64_t count = 1;
    bool too_large = false;
    for (const int64_t side : array_.shape)
      too_large = too_large || side < 0 || __builtin_mul_overflow(count, side, &count);
    const int64_t left = std::min(in_.most_left(), end_ - in_.position());
    if (too_large || count > left)
      source_.fail_at(in_.offset(), "variable '" + printable(array_.name) + "': expected at most " +
                                        count_text(std::max<int64_t>(0, left)) +
                                        " numbers, as many as the file can hold, found dimensions for more.");
    array_.elements = left_ = count;
  }

  void read_bytes(uint8_t* to, int64_t n) override {
    begin_content();
    if (storage_.bytes != 1) fail("variable '" + printable(array_.name) + "': expected numbers of one byte");
    in_.read(to, n);
    left_ -= n;
  }

  double read_number() override {
    begin_content();
    --left_;
    const uint64_t bits = number(storage_.bytes);
    if (storage_.kind == 'u') return static_cast<double>(bits);
    if (storage_.kind == 'f')
      return storage_.bytes == 4 ? static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits)))
                                 : std::bit_cast<double>(bits);
    const int unused = 64 - 8 * storage_.bytes;
    return static_cast<double>(static_cast<int64_t>(bits << unused) >> unused);
  }

  const MatArray& array() const { return array_; }

 private:
  [[noreturn]] void fail(const std::string& expected) {
    source_.fail_at(in_.offset(), expected + ", found other numbers.");
  }

  uint64_t number(int bytes) {
    uint8_t buffer[8];
    in_.read(buffer, bytes);
    if (big_) std::reverse(buffer, buffer + bytes);
    return little_endian(buffer, bytes);
  }

  Tag tag() {
    const auto word = static_cast<uint32_t>(number(4));
    Tag tag{word, 0, word >> 16 != 0};
    if (tag.small)
      tag.type = word & 0xffff, tag.size = word >> 16;
    else
      tag.size = static_cast<int64_t>(number(4));
    const int64_t room = tag.small ? 4 : end_ - in_.position();
    if (tag.size > room)
      source_.fail_at(in_.offset(),
                      "expected an element of at most " + count_text(std::max<int64_t>(0, room)) +
                          " bytes within its variable, found one of " + count_text(tag.size) + ".");
    return tag;
  }

  void pad(const Tag& tag) {
    const int64_t whole = tag.small ? 4 : 8;
    in_.skip((whole - tag.size % whole) % whole);
  }

  void begin_content() {
    if (begun_) return;
    begun_ = true;
    const Tag content = tag();
    if (content.type < std::size(kStorage)) storage_ = kStorage[content.type];
    const std::string name = "variable '" + printable(array_.name) + "': ";
    if (storage_.bytes == 0) fail(name + "expected stored numbers");
    if (content.size != array_.elements * storage_.bytes)
      source_.fail_at(in_.offset(), name + "expected " + count_text(array_.elements * storage_.bytes) +
                                        " bytes of numbers as its dimensions say, found " +
                                        count_text(content.size) + ".");
  }

  const ByteSource& source_;
  Stream& in_;
  bool big_;
  int64_t end_, left_ = 0;
  MatArray array_;
  Storage storage_{0, ' '};
  bool begun_ = false;
};

uint32_t word_at(const uint8_t* bytes, bool big) {
  uint8_t buffer[4] = {bytes[0], bytes[1], bytes[2], bytes[3]};
  if (big) std::reverse(buffer, buffer + 4);
  return static_cast<uint32_t>(little_endian(buffer, 4));
}

// True for a file of big-endian numbers.
bool read_header(const ByteSource& source) {
  uint8_t header[kHeader] = {};
  const int64_t there = std::min(kHeader, source.size());
  source.read_at(0, header, there);
  constexpr uint8_t hdf5[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  const bool little = header[126] == 'I' && header[127] == 'M',
             big = header[126] == 'M' && header[127] == 'I';
  if (std::memcmp(header, hdf5, sizeof hdf5) == 0 || ((little || big) && header[little ? 125 : 124] == 2))
    source.fail_at(
        little || big ? 124 : 0,
        "expected a MAT-file of version 5 to 7, found one of version 7.3, which is HDF5; load it in "
        "MATLAB and save it again with the option -v7.");
  if (!little && !big) {
    // Version 4 has a number of at most 4,052 there, of which two bytes at least are 0; version 5 text.
    const bool four = there >= 20 && word_at(header, header[0] == 0) <= 4052;
    if (four)
      source.fail_at(
          0,
          "expected a MAT-file of version 5 to 7, found one of version 4; load it in MATLAB and save "
          "it again with the option -v7.");
    if (there < kHeader)
      source.fail_at(there, "expected the 128 bytes of a MAT-file's header, found the end of the file.");
    source.fail_at(126, "expected the 'IM' or 'MI' of a MAT-file of version 5, found another file.");
  }
  if (header[little ? 125 : 124] != 1)
    source.fail_at(124, "expected a MAT-file of version 5 to 7, found the version number " +
                            std::to_string(header[little ? 125 : 124]) + ".");
  return big;
}

}  // namespace

void read_mat_file(const ByteSource& source, const MatVisitor& visit, const std::function<bool()>& done) {
  const bool big = read_header(source);
  const auto check = [&](int64_t at, int64_t size, int64_t left) {
    if (size > left)
      source.fail_at(at, "expected a variable of " + count_text(size) + " bytes, found " + count_text(left) +
                             " to the end of the file: it is cut short.");
  };
  for (int64_t at = kHeader; at < source.size() && !done();) {
    const int64_t left = source.size() - at - kTag;
    check(at, kTag, left + kTag);
    uint8_t tag[kTag];
    source.read_at(at, tag, kTag);
    const uint32_t type = word_at(tag, big);
    const int64_t size = type >> 16 ? 0 : word_at(tag + 4, big);
    check(at, size, left);
    const int64_t begin = at + kTag, end = begin + size;
    const auto read = [&](Stream& in, int64_t bytes) {
      Variable variable(source, in, big, bytes, at);
      if (!variable.read_header()) return;
      variable.check_extent();
      if (visit(variable.array(), variable)) in.finish();
    };
    if (type == kMatrix) {
      Plain in(source, begin, end);
      read(in, size);
    } else if (type == kCompressed) {
      Inflated in(source, begin, end);
      in.read(tag, kTag);
      const int64_t bytes = word_at(tag + 4, big);
      if (word_at(tag, big) == kMatrix) read(in, bytes);
    }
    at = end;
  }
}

}  // namespace mode_ensemble
