// Where a checkpoint's bytes come from.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mode_ensemble {

// Positioned reads, safe from several threads. A file is read and never mapped: one that is cut while mapped
// kills the process, and mapped pages count as the process's memory.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual int64_t size() const = 0;
  // All `n` bytes, or Error: checkpoint where the source has fewer, io where the system refuses.
  virtual void read_at(int64_t offset, void* to, int64_t n) const = 0;
  const std::string& name() const { return name_; }

  // Throws Error(checkpoint, "NAME: byte OFFSET: SENTENCE").
  [[noreturn]] void fail_at(int64_t offset, const std::string& sentence) const;

 protected:
  explicit ByteSource(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
};

std::shared_ptr<const ByteSource> open_file_source(const std::string& path);
std::shared_ptr<const ByteSource> make_memory_source(std::string name, std::vector<uint8_t> bytes);

// Little-endian numbers out of a buffer.
inline uint64_t little_endian(const void* from, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) value = (value << 8) | static_cast<const uint8_t*>(from)[i];
  return value;
}

}  // namespace mode_ensemble
