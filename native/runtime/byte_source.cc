#include "runtime/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mode_ensemble {
namespace {

class FileSource : public ByteSource {
 public:
  FileSource(const std::string& path, ErrorCode code) : ByteSource(path, code) {
    // Without O_NONBLOCK opening a named pipe would wait for ever.
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) refuse(errno);
    struct stat info{};
    if (fstat(fd_, &info) != 0) refuse(errno);
    if (!S_ISREG(info.st_mode)) refuse(S_ISDIR(info.st_mode) ? EISDIR : EINVAL);
    size_ = info.st_size;
  }
  ~FileSource() override {
    if (fd_ >= 0) close(fd_);
  }
  int64_t size() const override { return size_; }
  void read_at(int64_t offset, void* to, int64_t n) const override {
    auto* bytes = static_cast<uint8_t*>(to);
    while (n > 0) {
      const ssize_t got = pread(fd_, bytes, static_cast<size_t>(n), offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        throw Error(ErrorCode::io, name() + ": cannot be read at byte " + std::to_string(offset) + ": " +
                                       std::strerror(errno) + ".");
      if (got == 0) fail_at(offset, "the file ends here, " + std::to_string(n) + " bytes too early.");
      bytes += got, offset += got, n -= got;
    }
  }

 private:
  [[noreturn]] void refuse(int error) {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
    throw Error(ErrorCode::io, name() + ": cannot be read: " + std::strerror(error) + ".");
  }

  int fd_ = -1;
  int64_t size_ = 0;
};

class MemorySource : public ByteSource {
 public:
  MemorySource(std::string name, std::vector<uint8_t> bytes, ErrorCode code)
      : ByteSource(std::move(name), code), bytes_(std::move(bytes)) {}
  int64_t size() const override { return static_cast<int64_t>(bytes_.size()); }
  void read_at(int64_t offset, void* to, int64_t n) const override {
    if (offset < 0 || n < 0 || offset > size() || n > size() - offset)
      fail_at(offset, "expected " + std::to_string(n) + " bytes, found the end.");
    if (n > 0) std::memcpy(to, bytes_.data() + offset, static_cast<size_t>(n));
  }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace

void ByteSource::fail_at(int64_t offset, const std::string& sentence) const {
  fail("byte " + std::to_string(offset) + ": " + sentence);
}

void ByteSource::fail(const std::string& sentence) const { throw Error(code_, name_ + ": " + sentence); }

std::shared_ptr<const ByteSource> open_file_source(const std::string& path, ErrorCode code) {
  return std::make_shared<FileSource>(path, code);
}

std::shared_ptr<const ByteSource> make_memory_source(std::string name, std::vector<uint8_t> bytes,
                                                     ErrorCode code) {
  return std::make_shared<MemorySource>(std::move(name), std::move(bytes), code);
}

}  // namespace mode_ensemble
