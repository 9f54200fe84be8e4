// The directory of a zip archive as PyTorch writes it: stored records under one folder.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/byte_source.h"

namespace mode_ensemble {

struct ZipRecord {
  std::string name;    // without the archive's folder: "data.pkl", "data/0"
  int64_t offset = 0;  // of its bytes in the file
  int64_t size = 0;
  uint32_t crc = 0;
};

// Everything in the directory was checked before the constructor returns: each record lies whole within the
// file, apart from the others, and its local header says what the directory says. The records' bytes were not
// read.
class ZipArchive {
 public:
  explicit ZipArchive(std::shared_ptr<const ByteSource> source);

  const ZipRecord* find(std::string_view name) const;
  void require_stored() const;                     // refuses an archive with compressed records
  bool has_folder(std::string_view prefix) const;  // any record whose name begins with "prefix/"
  const std::string& folder() const { return folder_; }
  // A small record's bytes, checked. Refuses one of more than `limit` bytes.
  std::string read_small(const ZipRecord& record, int64_t limit) const;
  void check_crc(const ZipRecord& record) const;

 private:
  struct Directory {
    int64_t offset = 0, size = 0, entries = 0;
  };
  Directory find_directory() const;
  void read_directory(const Directory& directory);
  void check_local_headers(int64_t end);

  std::shared_ptr<const ByteSource> source_;
  std::string folder_;
  struct Entry {
    ZipRecord record;
    std::string full_name;
    int64_t header = 0;  // of its local header
    int64_t unpacked = 0;
    uint16_t flags = 0, method = 0;
  };
  std::vector<Entry> entries_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

}  // namespace mode_ensemble
