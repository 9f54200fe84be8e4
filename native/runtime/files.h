// Files written whole or not at all, and errors that name them.
#pragma once
#include <cstdint>
#include <string>

namespace mode_ensemble {

// Writes to a temporary name beside `path`, which no other process has; commit() syncs and renames. Without
// commit() nothing stays behind.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write_at(int64_t offset, const void* data, int64_t size);
  void read_at(int64_t offset, void* data, int64_t size);
  void resize(int64_t size);  // reserves the blocks too, so that a full disk shows here
  void commit();
  const std::string& path() const { return path_; }

 private:
  std::string path_, temporary_;
  int fd_ = -1;
};

// A whole file mapped for reading.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const uint8_t* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace mode_ensemble
