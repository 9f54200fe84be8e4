#include "runtime/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/error.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

std::string holder_of(int fd) {
  std::array<char, 200> text{};
  const ssize_t n = pread(fd, text.data(), text.size(), 0);
  return n > 0 ? " (" + printable({text.data(), static_cast<size_t>(n)}) + ")" : "";
}

// The one before may have taken the file away after it was opened here.
bool is_at(int fd, const std::string& path) {
  struct stat held{}, there{};
  return fstat(fd, &held) == 0 && stat(path.c_str(), &there) == 0 && held.st_ino == there.st_ino &&
         held.st_dev == there.st_dev;
}

}  // namespace

FileLock::FileLock(std::string path) : path_(std::move(path)) {
  while (fd_ < 0) {
    const int fd = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) throw Error(ErrorCode::io, path_ + ": cannot be written: " + std::strerror(errno) + ".");
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const bool taken = errno == EWOULDBLOCK;
      const auto holder = taken ? holder_of(fd) : "";
      close(fd);
      if (!taken) return;
      throw Error(ErrorCode::io, path_ + ": another process works in this folder" + holder +
                                     "; wait for its end, or take another folder.");
    }
    if (is_at(fd, path_))
      fd_ = fd;
    else
      close(fd);
  }
  std::array<char, 100> host{};
  gethostname(host.data(), host.size() - 1);
  const auto text = "process " + std::to_string(getpid()) + " on " + host.data();
  // For people; the lock is good without it.
  if (ftruncate(fd_, 0) == 0 && pwrite(fd_, text.data(), text.size(), 0) < 0) return;
}

FileLock::~FileLock() {
  if (fd_ < 0) return;
  unlink(path_.c_str());
  close(fd_);
}

}  // namespace mode_ensemble
