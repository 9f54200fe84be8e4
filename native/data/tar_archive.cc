#include "data/tar_archive.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "data/files.h"
#include "runtime/error.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

constexpr uint64_t kBlock = 512;
constexpr uint64_t kMaxExtension = 1 << 20;  // bytes of a pax header or a long name
constexpr size_t kMaxPath = 4096;

// POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format".
struct Header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
      version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
static_assert(sizeof(Header) == kBlock);

struct Compression {
  std::string_view start;
  const char* name;
  const char* command;
};
constexpr Compression kCompressions[] = {
    {std::string_view("\x1f\x8b", 2), "gzip", "gzip -d"},
    {std::string_view("\xfd"
                      "7zXZ\0",
                      6),
     "xz", "xz -d"},
    {std::string_view("\x28\xb5\x2f\xfd", 4), "Zstandard", "zstd -d"},
    {std::string_view("BZh", 3), "bzip2", "bzip2 -d"},
    {std::string_view("\x04\x22\x4d\x18", 4), "LZ4", "lz4 -d"},
    {std::string_view("PK\x03\x04", 4), "zip", "unzip"},
};

// A field ends at its first zero byte, or at its end.
template <size_t N>
std::string text_of(const char (&field)[N]) {
  return {field, strnlen(field, N)};
}

// Octal digits with blanks around them, or, where the first bit is set, a big-endian number (GNU). Nothing
// for others.
std::optional<uint64_t> number_of(std::string_view field) {
  const auto first = static_cast<uint8_t>(field[0]);
  uint64_t value = 0;
  if ((first & 0x80) != 0) {
    if ((first & 0x40) != 0) return std::nullopt;  // negative
    value = first & 0x3f;
    for (const char c : field.substr(1)) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | static_cast<uint8_t>(c);
    }
    return value;
  }
  size_t i = 0;
  while (i < field.size() && field[i] == ' ') ++i;
  for (; i < field.size() && field[i] >= '0' && field[i] <= '7'; ++i) value = value << 3 | (field[i] - '0');
  for (; i < field.size(); ++i)
    if (field[i] != ' ' && field[i] != '\0') return std::nullopt;
  return value;
}

template <size_t N>
std::optional<uint64_t> number_of(const char (&field)[N]) {
  return number_of(std::string_view(field, N));
}

// The sum of the header's bytes with its own field as blanks; old programs took bytes as signed.
bool has_right_checksum(const Header& header) {
  const auto said = number_of(header.checksum);
  if (!said) return false;
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  int64_t plain = 0, with_sign = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const bool own =
        i >= offsetof(Header, checksum) && i < offsetof(Header, checksum) + sizeof header.checksum;
    const uint8_t byte = own ? ' ' : bytes[i];
    plain += byte, with_sign += static_cast<int8_t>(byte);
  }
  const auto sum = static_cast<int64_t>(*said);
  return sum == plain || sum == with_sign;
}

bool is_zero(const Header& header) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  return std::all_of(bytes, bytes + kBlock, [](uint8_t byte) { return byte == 0; });
}

class Archive {
 public:
  Archive(const TarRange& range, const std::function<void(TarMember&&)>& member)
      : range_(range), member_(member), at_(range.begin) {}

  void read() {
    check_start();
    while (true) {
      const uint64_t start = at_;
      Header header;
      take(&header, "a header");
      if (is_zero(header)) return;
      if (!has_right_checksum(header))
        fail(start, "expected a tar header, found one whose checksum is wrong");
      take_member(start, header);
    }
  }

 private:
  [[noreturn]] void fail(uint64_t at, const std::string& sentence) const {
    const std::string where = range_.inside.empty() ? "" : "in '" + printable(range_.inside) + "': ";
    throw Error(ErrorCode::data,
                range_.source.name() + ": byte " + grouped(at) + ": " + where + sentence + ".");
  }

  uint64_t left() const { return range_.end - at_; }

  void read(uint64_t from, void* to, uint64_t size) const {
    range_.source.read_at(static_cast<int64_t>(from), to, static_cast<int64_t>(size));
  }

  void take(Header* header, const char* what) {
    if (left() < kBlock)
      fail(at_, std::string("expected ") + what + " or the zeros that end an archive, found " +
                    (left() == 0 ? "the end" : "only " + grouped(left()) + " bytes") +
                    "; the archive is cut short");
    read(at_, header, kBlock);
    at_ += kBlock;
  }

  void check_start() {
    std::array<char, 8> start{};
    const size_t there = std::min<uint64_t>(left(), start.size());
    if (there == 0) fail(at_, "expected a tar archive, found nothing");
    read(at_, start.data(), there);
    for (const Compression& known : kCompressions) {
      if (!std::string_view(start.data(), there).starts_with(known.start)) continue;
      fail(at_, std::string("expected an uncompressed tar archive, found ") + known.name +
                    "; decompress it first (" + known.command + ")");
    }
    Header header;
    if (left() < kBlock) fail(at_, "expected a tar archive, found a file of " + grouped(left()) + " bytes");
    read(at_, &header, kBlock);
    if (!is_zero(header) && !has_right_checksum(header))
      fail(at_, "expected a tar archive, found something else");
  }

  // Moves behind the content, which is padded to whole blocks.
  void skip(uint64_t start, uint64_t size) {
    if (size > left())
      fail(start, "expected a member of " + grouped(size) + " bytes, found only " + grouped(left()) +
                      " before the end; the archive is cut short, or the size is wrong");
    const uint64_t padding = (kBlock - size % kBlock) % kBlock;
    at_ += size;
    at_ += std::min(padding, left());
  }

  std::string take_extension(uint64_t start, uint64_t size) {
    if (size > kMaxExtension)
      fail(start, "expected an extended header of at most " + grouped(kMaxExtension) + " bytes, found " +
                      grouped(size));
    const uint64_t from = at_;
    skip(start, size);
    std::string content(size, '\0');
    read(from, content.data(), size);
    return content;
  }

  // Records "LENGTH KEY=VALUE\n", where LENGTH counts all of it.
  void take_pax(uint64_t start, std::string_view rest) {
    while (!rest.empty()) {
      uint64_t length = 0;
      size_t digits = 0;
      for (; digits < rest.size() && digits < 8 && rest[digits] >= '0' && rest[digits] <= '9'; ++digits)
        length = length * 10 + static_cast<uint64_t>(rest[digits] - '0');
      if (digits == 0 || digits >= rest.size() || rest[digits] != ' ' || length <= digits + 1 ||
          length > rest.size() || rest[length - 1] != '\n')
        fail(start, "expected records of a pax header, found something else");
      const std::string_view record = rest.substr(digits + 1, length - digits - 2);
      const size_t equals = record.find('=');
      if (equals == std::string_view::npos) fail(start, "expected KEY=VALUE in a pax header, found no '='");
      const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
      if (key.starts_with("GNU.sparse")) refuse_sparse(start);
      if (key == "path") path_ = std::string(value);
      if (key == "size") size_ = decimal(start, value);
      rest.remove_prefix(length);
    }
  }

  uint64_t decimal(uint64_t start, std::string_view text) {
    uint64_t value = 0;
    const bool fits = !text.empty() && text.size() <= 18;
    for (const char c : text) {
      if (!fits || c < '0' || c > '9') fail(start, "expected a size in a pax header, found no whole number");
      value = value * 10 + static_cast<uint64_t>(c - '0');
    }
    if (!fits) fail(start, "expected a size in a pax header, found none");
    return value;
  }

  [[noreturn]] void refuse_sparse(uint64_t start) const {
    fail(start,
         "expected files that are stored whole, found a sparse one; make the archive without --sparse");
  }

  std::string path_of(uint64_t start, const Header& header) {
    std::string path;
    if (path_) {
      path = *path_;
    } else {
      path = text_of(header.name);
      const bool is_ustar =
          std::memcmp(header.magic, "ustar", 6) == 0;  // GNU's older format has blanks there
      if (is_ustar && header.prefix[0] != '\0') path = text_of(header.prefix) + "/" + path;
    }
    path.resize(strnlen(path.data(), path.size()));
    if (path.size() > kMaxPath)
      fail(start,
           "expected a name of at most " + grouped(kMaxPath) + " bytes, found " + grouped(path.size()));
    return path;
  }

  std::string normal(uint64_t start, const std::string& path) const {
    std::string out;
    for (size_t at = 0; at <= path.size();) {
      const size_t end = std::min(path.find('/', at), path.size());
      const std::string part = path.substr(at, end - at);
      at = end + 1;
      if (part.empty() || part == ".") continue;
      if (part == "..") fail(start, "expected names within the archive, found one that holds '..'");
      out += (out.empty() ? "" : "/") + part;
    }
    return out;
  }

  void take_member(uint64_t start, const Header& header) {
    const auto said = number_of(header.size);
    if (!said) fail(start, "expected a member's size, found no number");
    switch (header.type) {
      case 'L': {  // GNU: the next member's name
        path_ = take_extension(start, *said);
        path_->resize(strnlen(path_->data(), path_->size()));
        return;
      }
      case 'K':  // GNU: the next member's link
      case 'g':  // pax: for all members; no name or size is told there
      case 'V':  // GNU: the volume's name
        skip(start, *said);
        return;
      case 'x':
      case 'X':  // Solaris
        take_pax(start, take_extension(start, *said));
        return;
      default:
        break;
    }
    const std::string path = path_of(start, header);
    const uint64_t size = size_.value_or(*said);
    path_.reset(), size_.reset();
    switch (header.type) {
      case '0':
      case '\0':
      case '7': {  // contiguous, on systems that know it
        const uint64_t offset = at_;
        const bool is_folder = path.ends_with('/');  // before POSIX a folder was told by its name
        if (!is_folder) skip(start, size);
        member_({normal(start, path), is_folder, offset, is_folder ? 0 : size});
        return;
      }
      case '5':
        member_({normal(start, path), true, at_, 0});
        return;
      case '3':
      case '4':
      case '6':  // devices and pipes
        return;
      case '1':
      case '2':
        fail(start, "expected files and folders, found the link '" + printable(path) +
                        "'; make the archive with --dereference --hard-dereference");
      case 'S':
        refuse_sparse(start);
      case 'M':
        fail(start, "expected a whole archive, found a part of several volumes");
      default:
        fail(start, "expected files and folders, found a member of the unknown type " +
                        std::to_string(static_cast<int>(static_cast<uint8_t>(header.type))));
    }
  }

  const TarRange& range_;
  const std::function<void(TarMember&&)>& member_;
  uint64_t at_;
  // Of the next member, where an extended header told them.
  std::optional<std::string> path_;
  std::optional<uint64_t> size_;
};

}  // namespace

void read_tar(const TarRange& range, const std::function<void(TarMember&&)>& member) {
  Archive(range, member).read();
}

}  // namespace mode_ensemble
