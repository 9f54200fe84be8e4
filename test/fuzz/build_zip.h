// Zip archives in memory, right or wrong, written apart from native/checkpoint/zip_writer.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <string>
#include <vector>

#include "little.h"

struct TestRecord {
  std::string name, data;
  // What the headers claim, where it is not the truth.
  uint32_t crc_xor = 0;
  uint16_t method = 0, flags = 0;
  uint64_t claimed_size = UINT64_MAX, claimed_offset = UINT64_MAX;
  std::string local_name = "=";
};

inline std::string build_zip(const std::vector<TestRecord>& records, const std::string& folder = "archive/") {
  std::string file, directory;
  for (const TestRecord& record : records) {
    const std::string name = folder + record.name;
    const std::string local = record.local_name == "=" ? name : record.local_name;
    const uint64_t offset = file.size();
    const auto* bytes = reinterpret_cast<const Bytef*>(record.data.data());
    const auto crc =
        static_cast<uint32_t>(crc32(0, bytes, static_cast<uInt>(record.data.size()))) ^ record.crc_xor;
    const bool lies = record.claimed_size != UINT64_MAX || record.claimed_offset != UINT64_MAX;
    const uint64_t size = record.claimed_size != UINT64_MAX ? record.claimed_size : record.data.size();
    const std::string numbers =
        little(record.flags, 2) + little(record.method, 2) + little(0, 4) + little(crc, 4);
    file += little(0x04034b50, 4) + little(45, 2) + numbers + little(record.data.size(), 4) +
            little(record.data.size(), 4) + little(local.size(), 2) + little(0, 2) + local + record.data;
    std::string extra;
    if (lies)
      extra = little(1, 2) + little(24, 2) + little(size, 8) + little(size, 8) +
              little(record.claimed_offset != UINT64_MAX ? record.claimed_offset : offset, 8);
    directory += little(0x02014b50, 4) + little(45, 2) + little(45, 2) + numbers +
                 little(lies ? 0xffffffff : size, 4) + little(lies ? 0xffffffff : size, 4) +
                 little(name.size(), 2) + little(extra.size(), 2) + little(0, 10) +
                 little(lies ? 0xffffffff : offset, 4) + name + extra;
  }
  const std::string end = little(0x06054b50, 4) + little(0, 4) + little(records.size(), 2) +
                          little(records.size(), 2) + little(directory.size(), 4) + little(file.size(), 4) +
                          little(0, 2);
  return file + directory + end;
}
