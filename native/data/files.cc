#include "data/files.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <sstream>
#include <system_error>

#include "checkpoint/source.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace fs = std::filesystem;

std::string grouped(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

void require_file(const std::string& path) {
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
  if (access(path.c_str(), R_OK) != 0) {
    const std::string reason = std::generic_category().message(errno);
    throw Error(ErrorCode::data, "cannot read " + path + ": " + reason + ".");
  }
}

std::shared_ptr<const ByteSource> open_data_file(const std::string& path) {
  require_file(path);
  return open_file_source(path, ErrorCode::data);
}

std::vector<std::string> read_class_names(const std::string& path, size_t count) {
  std::vector<uint8_t> bytes;
  read_whole_file(path, 1 << 20, bytes);
  std::vector<std::string> names;
  std::istringstream lines(std::string(bytes.begin(), bytes.end()));
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  if (count > 0 && names.size() != count) {
    throw Error(ErrorCode::data, path + ": expected " + std::to_string(count) +
                                     " class names, one a line, found " + std::to_string(names.size()) + ".");
  }
  return names;
}

void read_whole_file(const std::string& path, uint64_t limit, std::vector<uint8_t>& bytes) {
  require_file(path);
  std::error_code failure;
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
