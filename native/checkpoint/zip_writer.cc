// Layouts: PKWARE's APPNOTE.TXT 6.3.10, 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16
// (ends), 4.5.3 (zip64).
#include "checkpoint/zip_writer.h"

#include <zlib.h>

#include <algorithm>

namespace mode_ensemble {
namespace {

// Records begin at multiples of this (PyTorch: kFieldAlignment), so that mapped storages are aligned.
constexpr uint64_t kAlignment = 64;
constexpr int64_t kChunk = 256 << 10;
constexpr uint32_t kFull32 = 0xffffffff;
constexpr uint16_t kVersion = 45, kUtf8 = 1 << 11;

class Bytes {
 public:
  Bytes& u16(uint64_t value) { return number(value, 2); }
  Bytes& u32(uint64_t value) { return number(value, 4); }
  Bytes& u64(uint64_t value) { return number(value, 8); }
  Bytes& text(const std::string& value) {
    bytes += value;
    return *this;
  }
  std::string bytes;

 private:
  Bytes& number(uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes += static_cast<char>((value >> (8 * i)) & 255);
    return *this;
  }
};

}  // namespace

ZipWriter::ZipWriter(const std::string& path, std::string folder, uint64_t zip64_from)
    : file_(path), folder_(std::move(folder)), zip64_from_(zip64_from) {}

void ZipWriter::add(const std::string& name, const void* data, int64_t size) {
  Entry entry{folder_ + "/" + name, static_cast<uint64_t>(at_), static_cast<uint64_t>(size), 0};
  const bool large = entry.size >= zip64_from_;
  std::string zip64;
  if (large) zip64 = Bytes().u16(1).u16(16).u64(entry.size).u64(entry.size).bytes;
  // PyTorch's field "FB" fills up to the alignment.
  const uint64_t unpadded = entry.header + 30 + entry.name.size() + zip64.size() + 4;
  const uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  const std::string extra = zip64 + Bytes().text("FB").u16(padding).bytes + std::string(padding, 'Z');

  // The data first: their checksum belongs in the header.
  const auto begin = static_cast<int64_t>(unpadded + padding);
  const auto* from = static_cast<const uint8_t*>(data);
  uLong crc = crc32(0, nullptr, 0);
  for (int64_t done = 0; done < size;) {
    const int64_t n = std::min(kChunk, size - done);
    crc = crc32(crc, from + done, static_cast<uInt>(n));
    file_.write_at(begin + done, from + done, n);
    done += n;
  }
  entry.crc = static_cast<uint32_t>(crc);
  Bytes header;
  header.u32(0x04034b50).u16(kVersion).u16(kUtf8).u16(0).u16(0).u16(0).u32(entry.crc);
  header.u32(large ? kFull32 : entry.size).u32(large ? kFull32 : entry.size);
  header.u16(entry.name.size()).u16(extra.size()).text(entry.name).text(extra);
  file_.write_at(at_, header.bytes.data(), static_cast<int64_t>(header.bytes.size()));
  at_ = begin + size;
  entries_.push_back(std::move(entry));
}

void ZipWriter::commit() {
  const auto directory_at = static_cast<uint64_t>(at_);
  Bytes directory;
  for (const Entry& entry : entries_) {
    const bool large = entry.size >= zip64_from_, far = entry.header >= zip64_from_;
    Bytes extra;
    if (large || far) {
      extra.u16(1).u16((large ? 16 : 0) + (far ? 8 : 0));
      if (large) extra.u64(entry.size).u64(entry.size);
      if (far) extra.u64(entry.header);
    }
    directory.u32(0x02014b50).u16(kVersion).u16(kVersion).u16(kUtf8).u16(0).u16(0).u16(0).u32(entry.crc);
    directory.u32(large ? kFull32 : entry.size).u32(large ? kFull32 : entry.size);
    directory.u16(entry.name.size()).u16(extra.bytes.size()).u16(0).u16(0).u16(0).u32(0);
    directory.u32(far ? kFull32 : entry.header).text(entry.name).text(extra.bytes);
  }
  const uint64_t size = directory.bytes.size(), count = entries_.size();
  const bool zip64 = count >= 0xffff || size >= zip64_from_ || directory_at >= zip64_from_;
  if (zip64) {
    directory.u32(0x06064b50).u64(44).u16(kVersion).u16(kVersion).u32(0).u32(0);
    directory.u64(count).u64(count).u64(size).u64(directory_at);
    directory.u32(0x07064b50).u32(0).u64(directory_at + size).u32(1);
  }
  const uint64_t short_count = std::min<uint64_t>(count, 0xffff);
  directory.u32(0x06054b50).u16(0).u16(0).u16(short_count).u16(short_count);
  directory.u32(zip64 && size >= zip64_from_ ? kFull32 : size);
  directory.u32(zip64 && directory_at >= zip64_from_ ? kFull32 : directory_at).u16(0);
  file_.write_at(at_, directory.bytes.data(), static_cast<int64_t>(directory.bytes.size()));
  file_.commit();
}

}  // namespace mode_ensemble
