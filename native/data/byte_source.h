// Where an archive's or a list's bytes come from.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mode_ensemble {

// Positioned reads, from any number of threads at once. Files are read and never mapped: one that is cut
// while mapped kills the process.
class DataSource {
 public:
  virtual ~DataSource() = default;
  virtual uint64_t size() const = 0;
  // All `n` bytes; Error(data) that names the source and the byte where they are not there.
  virtual void read_at(uint64_t offset, void* to, size_t n) const = 0;
  const std::string& name() const { return name_; }

 protected:
  explicit DataSource(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
};

// Throws Error(data) where there is no such file, or where it is a folder, a pipe or a device.
std::shared_ptr<const DataSource> open_data_source(const std::string& path);
std::shared_ptr<const DataSource> make_data_source(std::string name, std::vector<uint8_t> bytes);

}  // namespace mode_ensemble
