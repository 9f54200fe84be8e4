#include "runtime/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/error.h"

namespace mode_ensemble {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path, int error) {
  throw Error(ErrorCode::io, path + ": " + what + ": " + std::strerror(error) + ".");
}

constexpr int kMostNames = 10000;

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  static std::atomic<unsigned> counter{0};
  // A name may be taken: by a process of this number on another machine or in another container, or by what
  // one left that was killed.
  for (int attempt = 0; attempt < kMostNames; ++attempt) {
    temporary_ = path_ + ".tmp-" + std::to_string(getpid()) + "-" + std::to_string(counter++);
    fd_ = open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd_ >= 0 || errno != EEXIST) break;
  }
  if (fd_ < 0) fail("cannot be written", path_, errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

void AtomicFile::write_at(int64_t offset, const void* data, int64_t size) {
  auto from = static_cast<const uint8_t*>(data);
  while (size > 0) {
    const ssize_t n = pwrite(fd_, from, static_cast<size_t>(size), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot be written", path_, errno);
    from += n, offset += n, size -= n;
  }
}

void AtomicFile::read_at(int64_t offset, void* data, int64_t size) {
  auto to = static_cast<uint8_t*>(data);
  while (size > 0) {
    const ssize_t n = pread(fd_, to, static_cast<size_t>(size), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("cannot be read back", path_, n < 0 ? errno : EIO);
    to += n, offset += n, size -= n;
  }
}

void AtomicFile::resize(int64_t size) {
  if (ftruncate(fd_, size) != 0) fail("cannot be given its size", path_, errno);
  if (size == 0) return;
  const int error = posix_fallocate(fd_, 0, size);
  // Some file systems cannot reserve; a full disk then shows when the bytes are written.
  if (error != 0 && error != EINVAL && error != EOPNOTSUPP) fail("cannot be given its size", path_, error);
}

void AtomicFile::commit() {
  if (fsync(fd_) != 0) fail("cannot be written", path_, errno);
  if (close(fd_) != 0) {
    fd_ = -1;
    unlink(temporary_.c_str());
    fail("cannot be written", path_, errno);
  }
  fd_ = -1;
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    unlink(temporary_.c_str());
    fail("cannot be given its name", path_, error);
  }
  // The rename itself must survive a power cut.
  const int folder = open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot be read", path, errno);
  struct stat info{};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    const int error = S_ISDIR(info.st_mode) ? EISDIR : (errno ? errno : EINVAL);
    close(fd);
    fail("cannot be read", path, error);
  }
  size_ = info.st_size;
  if (size_ > 0) {
    void* mapped = mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    close(fd);
    if (mapped == MAP_FAILED) fail("cannot be mapped", path, error);
    data_ = static_cast<const uint8_t*>(mapped);
  } else {
    close(fd);
  }
}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(size_));
}

}  // namespace mode_ensemble
