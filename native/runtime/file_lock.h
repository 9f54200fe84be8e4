// One process at a time in a folder.
#pragma once
#include <string>

namespace mode_ensemble {

// Holds `path`, a file of its own that is made for it and goes with the lock. The system takes the lock back
// when the process ends, however it ends. Throws Error(io) that names who holds it. Where the file system
// knows no locks, nothing is held.
class FileLock {
 public:
  explicit FileLock(std::string path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace mode_ensemble
