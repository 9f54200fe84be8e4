// What each format's reader makes of a file: names, places of bytes, and what else is to be said.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/dtype.h"

namespace mode_ensemble {

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;

  int64_t elements() const;
};

// Bytes of a file that belong together: what one checksum covers.
struct StoragePlace {
  std::string name;  // for messages
  int64_t offset = 0, size = 0;
  bool has_crc = false;
  bool swap = false;  // big-endian
  uint32_t crc = 0;
  mutable std::atomic<bool> verified{false};
};

// Where a tensor's elements are. Whoever fills it has checked that all of them lie within the storage.
struct TensorPlace {
  size_t storage = 0;
  int64_t first_byte = 0;        // within the storage
  std::vector<int64_t> strides;  // in elements
  const char* fault = "";        // why it cannot be read
};

struct WeightName {
  std::string name;  // without "module." and "_orig_mod."
  size_t tensor;
};

struct Contents {
  std::string format;
  std::vector<TensorInfo> tensors;
  std::vector<TensorPlace> places;  // of each tensor
  std::deque<StoragePlace> storages;
  std::string weights_in;
  std::vector<WeightName> weights;
  std::string weights_error;  // why there are none, a whole message
  std::map<std::string, std::string> metadata;
  std::vector<std::pair<std::string, std::string>> values;
};

std::vector<int64_t> row_major_strides(const std::vector<int64_t>& shape);

// Fills `weights` from names as the file has them: takes "module." and "_orig_mod." off, refuses two of one
// name. `offset`: of the names in the file.
void set_weights(Contents& contents, const std::string& file, int64_t offset, std::vector<WeightName> named);

}  // namespace mode_ensemble
