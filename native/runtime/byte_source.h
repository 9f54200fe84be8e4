// Where the bytes of a checkpoint or of a file of data come from.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/error.h"

namespace mode_ensemble {

// Positioned reads, safe from several threads. A file is read and never mapped: one that is cut while mapped
// kills the process, and mapped pages count as the process's memory.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual int64_t size() const = 0;
  // All `n` bytes, or Error: of the source's code where it has fewer, io where the system refuses.
  virtual void read_at(int64_t offset, void* to, int64_t n) const = 0;
  const std::string& name() const { return name_; }

  // Throws Error(its code, "NAME: byte OFFSET: SENTENCE").
  [[noreturn]] void fail_at(int64_t offset, const std::string& sentence) const;
  // Throws Error(its code, "NAME: SENTENCE"), where no byte is at fault.
  [[noreturn]] void fail(const std::string& sentence) const;

 protected:
  ByteSource(std::string name, ErrorCode code) : name_(std::move(name)), code_(code) {}

 private:
  std::string name_;
  ErrorCode code_;  // what a fault of the content is: checkpoint or data
};

std::shared_ptr<const ByteSource> open_file_source(const std::string& path,
                                                   ErrorCode code = ErrorCode::checkpoint);
std::shared_ptr<const ByteSource> make_memory_source(std::string name, std::vector<uint8_t> bytes,
                                                     ErrorCode code = ErrorCode::checkpoint);

// Little-endian numbers out of a buffer.
inline uint64_t little_endian(const void* from, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) value = (value << 8) | static_cast<const uint8_t*>(from)[i];
  return value;
}

}  // namespace mode_ensemble
