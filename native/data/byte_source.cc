#include "data/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "data/files.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

[[noreturn]] void cannot_read(const std::string& name, const std::string& reason) {
  throw Error(ErrorCode::data, "cannot read " + name + ": " + reason + ".");
}

[[noreturn]] void too_short(const std::string& name, uint64_t offset, uint64_t missing) {
  cannot_read(name, "it ends at byte " + grouped(offset) + ", " + grouped(missing) + " bytes too early");
}

class FileSource : public DataSource {
 public:
  explicit FileSource(const std::string& path) : DataSource(path) {
    // Without O_NONBLOCK opening a named pipe would wait for ever.
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0)
      cannot_read(path, errno == ENOENT ? "there is no such file" : std::generic_category().message(errno));
    struct stat info{};
    if (fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
      close(fd_);
      cannot_read(path, S_ISDIR(info.st_mode) ? "expected a file, found a folder"
                                              : "expected a file, found neither a file nor a folder");
    }
    size_ = static_cast<uint64_t>(info.st_size);
  }
  ~FileSource() override { close(fd_); }
  uint64_t size() const override { return size_; }
  void read_at(uint64_t offset, void* to, size_t n) const override {
    auto* bytes = static_cast<uint8_t*>(to);
    while (n > 0) {
      const ssize_t got = pread(fd_, bytes, n, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        cannot_read(name(), "byte " + grouped(offset) + ": " + std::generic_category().message(errno));
      if (got == 0) too_short(name(), offset, n);
      bytes += got, offset += static_cast<uint64_t>(got), n -= static_cast<size_t>(got);
    }
  }

 private:
  int fd_ = -1;
  uint64_t size_ = 0;
};

class MemorySource : public DataSource {
 public:
  MemorySource(std::string name, std::vector<uint8_t> bytes)
      : DataSource(std::move(name)), bytes_(std::move(bytes)) {}
  uint64_t size() const override { return bytes_.size(); }
  void read_at(uint64_t offset, void* to, size_t n) const override {
    if (offset > size() || n > size() - offset) too_short(name(), size(), n);
    if (n > 0) std::memcpy(to, bytes_.data() + offset, n);
  }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace

std::shared_ptr<const DataSource> open_data_source(const std::string& path) {
  return std::make_shared<FileSource>(path);
}

std::shared_ptr<const DataSource> make_data_source(std::string name, std::vector<uint8_t> bytes) {
  return std::make_shared<MemorySource>(std::move(name), std::move(bytes));
}

}  // namespace mode_ensemble
