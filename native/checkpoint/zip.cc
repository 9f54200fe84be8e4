// Numbers and layouts: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 (records) and 4.5.3 (zip64).
#include "checkpoint/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace mode_ensemble {
namespace {

constexpr int64_t kEndSize = 22, kEnd64Size = 56, kLocatorSize = 20, kCentralSize = 46, kLocalSize = 30;
constexpr uint32_t kEndMagic = 0x06054b50, kEnd64Magic = 0x06064b50, kLocatorMagic = 0x07064b50;
constexpr uint32_t kCentralMagic = 0x02014b50, kLocalMagic = 0x04034b50;
constexpr uint64_t kFull16 = 0xffff, kFull32 = 0xffffffff;
constexpr uint16_t kEncrypted = 1 | (1 << 6) | (1 << 13), kDescriptor = 1 << 3;
// Real directories have some hundred entries of some ten bytes. The limits keep a hostile one small in
// memory.
constexpr int64_t kMaxEntries = 100'000, kMaxDirectory = 16 << 20, kMaxName = 512;

uint64_t number(const uint8_t* at, int bytes) { return little_endian(at, bytes); }

// What a name must not be, or nullptr. Nothing is ever unpacked by name, but a tool that comes after might.
const char* fault_in(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.front() == '/') return "is absolute";
  for (const char c : name) {
    if (c == '\\') return "holds a backslash";
    if (static_cast<unsigned char>(c) < 32 || c == 127) return "holds a control character";
  }
  for (size_t at = 0; at <= name.size();) {
    const size_t slash = std::min(name.find('/', at), name.size());
    if (name.substr(at, slash - at) == "..") return "climbs out of the archive";
    at = slash + 1;
  }
  return nullptr;
}

}  // namespace

ZipArchive::ZipArchive(std::shared_ptr<const ByteSource> source) : source_(std::move(source)) {
  const Directory directory = find_directory();
  read_directory(directory);
  check_local_headers(directory.offset);
}

ZipArchive::Directory ZipArchive::find_directory() const {
  const int64_t size = source_->size();
  if (size < kEndSize)
    source_->fail_at(0, "expected a zip archive, found " + std::to_string(size) + " bytes.");
  // A comment of at most 65,535 bytes may follow the end record.
  std::vector<uint8_t> tail(static_cast<size_t>(std::min<int64_t>(size, kEndSize + 65'535)));
  const auto tail_size = static_cast<int64_t>(tail.size());
  source_->read_at(size - tail_size, tail.data(), tail_size);
  int64_t at = tail_size - kEndSize;
  while (at >= 0 &&
         !(number(&tail[static_cast<size_t>(at)], 4) == kEndMagic &&
           static_cast<int64_t>(number(&tail[static_cast<size_t>(at) + 20], 2)) == tail_size - at - kEndSize))
    --at;
  if (at < 0)
    source_->fail_at(size,
                     "expected a zip archive's end record before here, found none: the file was cut off.");
  const uint8_t* end = &tail[static_cast<size_t>(at)];
  const int64_t end_offset = size - tail_size + at;
  uint64_t disks = number(end + 4, 2) | number(end + 6, 2);
  uint64_t here = number(end + 8, 2), entries = number(end + 10, 2);
  uint64_t bytes = number(end + 12, 4), offset = number(end + 16, 4);
  int64_t limit = end_offset;  // the directory ends here at the latest

  uint8_t locator[kLocatorSize];
  if (end_offset >= kLocatorSize) {
    source_->read_at(end_offset - kLocatorSize, locator, kLocatorSize);
    if (number(locator, 4) == kLocatorMagic) {
      const uint64_t end64_offset = number(locator + 8, 8);
      const int64_t last = end_offset - kLocatorSize - kEnd64Size;
      if (number(locator + 4, 4) != 0 || number(locator + 16, 4) > 1)
        source_->fail_at(end_offset - kLocatorSize,
                         "expected an archive in one piece, found one of several.");
      if (last < 0 || end64_offset > static_cast<uint64_t>(last))
        source_->fail_at(end_offset - kLocatorSize,
                         "expected the zip64 end record within the file, found byte " +
                             std::to_string(end64_offset) + ".");
      uint8_t end64[kEnd64Size];
      limit = static_cast<int64_t>(end64_offset);
      source_->read_at(limit, end64, kEnd64Size);
      if (number(end64, 4) != kEnd64Magic)
        source_->fail_at(limit, "expected a zip64 end record, found none.");
      const auto agree = [&](uint64_t small, uint64_t full, uint64_t large) {
        if (small != full && small != large)
          source_->fail_at(end_offset, "expected what the zip64 end record says, " + std::to_string(large) +
                                           ", found " + std::to_string(small) + ".");
        return large;
      };
      disks = number(end64 + 16, 4) | number(end64 + 20, 4);
      here = agree(here, kFull16, number(end64 + 24, 8));
      entries = agree(entries, kFull16, number(end64 + 32, 8));
      bytes = agree(bytes, kFull32, number(end64 + 40, 8));
      offset = agree(offset, kFull32, number(end64 + 48, 8));
    }
  }
  if (disks != 0 || here != entries)
    source_->fail_at(end_offset, "expected an archive in one piece, found one of several.");
  if (entries > static_cast<uint64_t>(kMaxEntries))
    source_->fail_at(end_offset, "expected at most " + std::to_string(kMaxEntries) + " entries, found " +
                                     std::to_string(entries) + ".");
  if (bytes > static_cast<uint64_t>(kMaxDirectory))
    source_->fail_at(end_offset, "expected a directory of at most " + std::to_string(kMaxDirectory) +
                                     " bytes, found " + std::to_string(bytes) + ".");
  if (offset > static_cast<uint64_t>(limit) || bytes > static_cast<uint64_t>(limit) - offset)
    source_->fail_at(end_offset, "expected the directory before byte " + std::to_string(limit) + ", found " +
                                     std::to_string(bytes) + " bytes from byte " + std::to_string(offset) +
                                     ".");
  return {static_cast<int64_t>(offset), static_cast<int64_t>(bytes), static_cast<int64_t>(entries)};
}

void ZipArchive::read_directory(const Directory& directory) {
  std::vector<uint8_t> bytes(static_cast<size_t>(directory.size));
  source_->read_at(directory.offset, bytes.data(), directory.size);
  int64_t at = 0;
  for (int64_t i = 0; i < directory.entries; ++i) {
    const int64_t where = directory.offset + at;
    if (directory.size - at < kCentralSize)
      source_->fail_at(where, "expected entry " + std::to_string(i + 1) + " of " +
                                  std::to_string(directory.entries) + ", found the directory's end.");
    const uint8_t* p = &bytes[static_cast<size_t>(at)];
    if (number(p, 4) != kCentralMagic) source_->fail_at(where, "expected a directory entry, found none.");
    const auto name_size = static_cast<int64_t>(number(p + 28, 2));
    const auto extra_size = static_cast<int64_t>(number(p + 30, 2));
    const auto comment_size = static_cast<int64_t>(number(p + 32, 2));
    if (directory.size - at - kCentralSize < name_size + extra_size + comment_size)
      source_->fail_at(where, "expected a whole directory entry, found the directory's end.");
    if (name_size > kMaxName)
      source_->fail_at(where,
                       "expected a name of at most 512 bytes, found " + std::to_string(name_size) + ".");
    Entry entry;
    entry.full_name.assign(reinterpret_cast<const char*>(p) + kCentralSize, static_cast<size_t>(name_size));
    if (const char* fault = fault_in(entry.full_name))
      source_->fail_at(where, "expected the name of a record, found one that " + std::string(fault) + ".");
    const std::string what = "entry \"" + entry.full_name + "\": ";
    entry.flags = static_cast<uint16_t>(number(p + 8, 2));
    if (entry.flags & kEncrypted) source_->fail_at(where, what + "is encrypted.");
    if (number(p + 10, 2) != 0)
      source_->fail_at(where, what + "expected it stored as it is (method 0), found method " +
                                  std::to_string(number(p + 10, 2)) + "; PyTorch compresses nothing.");
    entry.record.crc = static_cast<uint32_t>(number(p + 16, 4));
    uint64_t packed = number(p + 20, 4), size = number(p + 24, 4), offset = number(p + 42, 4);
    uint64_t disk = number(p + 34, 2);
    const uint8_t* extra = p + kCentralSize + name_size;
    for (int64_t e = 0; e + 4 <= extra_size;) {
      const uint64_t id = number(extra + e, 2);
      const auto length = static_cast<int64_t>(number(extra + e + 2, 2));
      if (length > extra_size - e - 4) break;
      int64_t field = e + 4;
      const auto take = [&](uint64_t& value, uint64_t full, int width) {
        if (value != full || field + width > e + 4 + length) return;
        value = number(extra + field, width);
        field += width;
      };
      if (id == 1)
        take(size, kFull32, 8), take(packed, kFull32, 8), take(offset, kFull32, 8), take(disk, kFull16, 4);
      e += 4 + length;
    }
    if (disk != 0)
      source_->fail_at(where, what + "expected it in this file, found part " + std::to_string(disk) + ".");
    if (size != packed)
      source_->fail_at(where, what + "expected one size, found " + std::to_string(size) + " and " +
                                  std::to_string(packed) + " bytes.");
    const auto room = static_cast<uint64_t>(directory.offset);
    if (offset > room || room - offset < static_cast<uint64_t>(kLocalSize) ||
        size > room - offset - kLocalSize)
      source_->fail_at(where, what + "expected it within the file, found " + std::to_string(size) +
                                  " bytes from byte " + std::to_string(offset) + ".");
    entry.record.size = static_cast<int64_t>(size);
    entry.header = static_cast<int64_t>(offset);

    const size_t slash = entry.full_name.find('/');
    const std::string folder = slash == std::string::npos ? "" : entry.full_name.substr(0, slash);
    if (slash == std::string::npos || (i > 0 && folder != folder_))
      source_->fail_at(where, what + "expected all records in one folder" +
                                  (i > 0 ? " \"" + folder_ + "\"" : "") + ": not a torch checkpoint.");
    folder_ = folder;
    entry.record.name = entry.full_name.substr(slash + 1);
    if (!by_name_.emplace(entry.record.name, entries_.size()).second)
      source_->fail_at(where, what + "is there twice.");
    entries_.push_back(std::move(entry));
    at += kCentralSize + name_size + extra_size + comment_size;
  }
}

void ZipArchive::check_local_headers(int64_t end) {
  std::vector<size_t> order(entries_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return entries_[a].header != entries_[b].header ? entries_[a].header < entries_[b].header : a < b;
  });
  int64_t free_from = 0;
  std::vector<uint8_t> header(kLocalSize + kMaxName);
  for (const size_t i : order) {
    Entry& entry = entries_[i];
    const std::string what = "entry \"" + entry.full_name + "\": ";
    const int64_t where = entry.header;
    if (where < free_from) source_->fail_at(where, what + "overlaps the one before.");
    const auto name_size = static_cast<int64_t>(entry.full_name.size());
    source_->read_at(where, header.data(), std::min(kLocalSize + name_size, source_->size() - where));
    const uint8_t* p = header.data();
    if (number(p, 4) != kLocalMagic) source_->fail_at(where, what + "expected its local header, found none.");
    if (static_cast<int64_t>(number(p + 26, 2)) != name_size ||
        source_->size() - where < kLocalSize + name_size ||
        std::memcmp(p + kLocalSize, entry.full_name.data(), entry.full_name.size()) != 0)
      source_->fail_at(where, what + "its local header has another name than the directory.");
    const auto flags = static_cast<uint16_t>(number(p + 6, 2));
    if ((flags & kEncrypted) || number(p + 8, 2) != 0 || ((flags ^ entry.flags) & kDescriptor))
      source_->fail_at(where, what + "its local header has another method than the directory.");
    // With a data descriptor the local header may leave these empty; zip64 sizes stand in the extra field.
    const auto same = [&](uint64_t local, uint64_t central) {
      return local == central || ((flags & kDescriptor) && local == 0);
    };
    const auto size = static_cast<uint64_t>(entry.record.size);
    const auto same_size = [&](uint64_t local) { return same(local, size) || local == kFull32; };
    if (!same(number(p + 14, 4), entry.record.crc) || !same_size(number(p + 18, 4)) ||
        !same_size(number(p + 22, 4)))
      source_->fail_at(where, what + "its local header has another size or checksum than the directory.");
    entry.record.offset = where + kLocalSize + name_size + static_cast<int64_t>(number(p + 28, 2));
    if (entry.record.offset > end || entry.record.size > end - entry.record.offset)
      source_->fail_at(where, what + "expected " + std::to_string(entry.record.size) +
                                  " bytes before the directory, found " +
                                  std::to_string(std::max<int64_t>(0, end - entry.record.offset)) + ".");
    free_from = entry.record.offset + entry.record.size;
  }
}

const ZipRecord* ZipArchive::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second].record;
}

bool ZipArchive::has_folder(std::string_view prefix) const {
  const std::string start = std::string(prefix) + "/";
  const auto found = by_name_.lower_bound(start);
  return found != by_name_.end() && found->first.starts_with(start);
}

std::string ZipArchive::read_small(const ZipRecord& record, int64_t limit) const {
  if (record.size > limit)
    source_->fail_at(record.offset, "record \"" + record.name + "\": expected at most " +
                                        std::to_string(limit) + " bytes, found " +
                                        std::to_string(record.size) + ".");
  check_crc(record);
  std::string bytes(static_cast<size_t>(record.size), '\0');
  source_->read_at(record.offset, bytes.data(), record.size);
  return bytes;
}

void ZipArchive::check_crc(const ZipRecord& record) const {
  std::vector<uint8_t> buffer(static_cast<size_t>(std::min<int64_t>(record.size, 1 << 16)));
  uLong crc = crc32(0, nullptr, 0);
  for (int64_t at = 0; at < record.size;) {
    const int64_t n = std::min<int64_t>(record.size - at, static_cast<int64_t>(buffer.size()));
    source_->read_at(record.offset + at, buffer.data(), n);
    crc = crc32(crc, buffer.data(), static_cast<uInt>(n));
    at += n;
  }
  if (crc != record.crc)
    source_->fail_at(record.offset,
                     "record \"" + record.name + "\": its checksum is wrong: the file is damaged.");
}

}  // namespace mode_ensemble
