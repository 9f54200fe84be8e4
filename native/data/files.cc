#include "data/files.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

#include "runtime/error.h"

namespace mode_ensemble {
namespace fs = std::filesystem;

std::string grouped(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

void read_whole_file(const std::string& path, uint64_t limit, std::vector<uint8_t>& bytes) {
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  if (!fs::exists(status)) {
    const std::string reason =
        status.type() == fs::file_type::not_found ? "there is no such file" : failure.message();
    throw Error(ErrorCode::data, "cannot read " + path + ": " + reason + ".");
  }
  if (!fs::is_regular_file(status)) {
    // A pipe or a device could block or never end.
    const char* found = fs::is_directory(status) ? "a folder" : "neither a file nor a folder";
    throw Error(ErrorCode::data, "cannot read " + path + ": expected a file, found " + found + ".");
  }
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) {
    const std::string reason = std::generic_category().message(errno);
    throw Error(ErrorCode::data, "cannot read " + path + ": " + reason + ".");
  }
  const uint64_t size = fs::file_size(path, failure);
  if (failure) throw Error(ErrorCode::data, "cannot read " + path + ": " + failure.message() + ".");
  if (size > limit) {
    throw Error(ErrorCode::data, "cannot read " + path + ": expected at most " + grouped(limit) +
                                     " bytes, found " + grouped(size) + ".");
  }
  bytes.resize(size);
  const size_t got = size > 0 ? std::fread(bytes.data(), 1, size, file.get()) : 0;
  if (got != size) {
    throw Error(ErrorCode::data, "cannot read " + path + ": expected " + grouped(size) + " bytes, only " +
                                     grouped(got) + " could be read.");
  }
}

}  // namespace mode_ensemble
