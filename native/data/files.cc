#include "data/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "runtime/byte_source.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kMaxClassFileBytes = 64 << 20;

}  // namespace

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

std::string class_file_beside(const std::string& path) {
  return (fs::path(path).parent_path() / "classes.txt").string();
}

std::vector<std::string> read_class_names(const std::string& path, size_t count) {
  std::vector<uint8_t> bytes;
  read_whole_file(path, kMaxClassFileBytes, bytes);
  std::vector<std::string> names;
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view name = text.substr(0, end);
    while (name.ends_with('\r') || name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty()) names.emplace_back(name);
    if (std::ssize(names) > kMaxClasses)
      throw Error(ErrorCode::data, path + ": expected at most " + grouped(kMaxClasses) +
                                       " class names, one a line, found more.");
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (count > 0 && names.size() != count) {
    throw Error(ErrorCode::data, path + ": expected " + std::to_string(count) +
                                     " class names, one a line, found " + std::to_string(names.size()) + ".");
  }
  return names;
}

std::vector<std::string> numbered_names(int64_t count) {
  std::vector<std::string> names;
  names.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) names.push_back(std::to_string(i));
  return names;
}

void read_whole_file(const std::string& path, uint64_t limit, std::vector<uint8_t>& bytes) {
  // A pipe must not block. Four system calls, since a training reads a million small files an hour.
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) close(number);
    }
  } const file{open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  const int error = errno;
  struct stat info{};
  if (file.number < 0 || fstat(file.number, &info) != 0 || !S_ISREG(info.st_mode)) {
    require_file(path);  // finds the words
    throw Error(ErrorCode::data, "cannot read " + path + ": " + std::generic_category().message(error) + ".");
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > limit) {
    throw Error(ErrorCode::data, "cannot read " + path + ": expected at most " + grouped(limit) +
                                     " bytes, found " + grouped(size) + ".");
  }
  bytes.resize(size);
  for (uint64_t got = 0; got < size;) {
    const ssize_t more = read(file.number, bytes.data() + got, size - got);
    if (more > 0) {
      got += static_cast<uint64_t>(more);
    } else if (more == 0) {
      throw Error(ErrorCode::data, "cannot read " + path + ": expected " + grouped(size) + " bytes, only " +
                                       grouped(got) + " could be read.");
    } else if (errno != EINTR) {
      throw Error(ErrorCode::data,
                  "cannot read " + path + ": " + std::generic_category().message(errno) + ".");
    }
  }
}

}  // namespace mode_ensemble
