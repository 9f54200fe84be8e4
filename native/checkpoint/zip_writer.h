// A zip archive of stored records, each aligned as PyTorch aligns them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/files.h"

namespace mode_ensemble {

class ZipWriter {
 public:
  ZipWriter(const std::string& path, std::string folder, uint64_t zip64_from);

  void add(const std::string& name, const void* data, int64_t size);
  void commit();

 private:
  struct Entry {
    std::string name;
    uint64_t header, size;
    uint32_t crc;
  };
  AtomicFile file_;
  std::string folder_;
  uint64_t zip64_from_;
  int64_t at_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace mode_ensemble
