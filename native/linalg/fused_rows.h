// What an ensemble's statistics are made of: the mean over members of one tensor of their feature files, read
// in blocks of rows, so that memory does not grow with the files.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "runtime/byte_source.h"

namespace mode_ensemble {

// A file and its checked header. Errors of content are Error(data).
struct TensorSource {
  std::shared_ptr<const ByteSource> bytes;
  SafetensorsHeader header;
};
TensorSource open_tensors(const std::string& path);

class FusedRows {
 public:
  // `files`: one a member, rows in the same order; the tensor is float32 or float16 [N, D] in each.
  FusedRows(const std::vector<std::string>& files, const std::string& tensor);

  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  // How many rows make a block of about `doubles` numbers.
  int64_t block(int64_t doubles) const;
  // The mean over members: [count, D], float64. Throws Error(numeric) that names file, tensor and row where a
  // number is NaN or infinite.
  at::Tensor read(int64_t first, int64_t count) const;

 private:
  struct Member {
    std::shared_ptr<const ByteSource> bytes;
    int64_t offset = 0;  // of row 0
    at::ScalarType type = at::kFloat;
  };

  std::string tensor_;
  std::vector<Member> members_;
  int64_t rows_ = 0, width_ = 0;
};

// The `labels` of a feature file, each from 0 to classes - 1 or Error(data).
std::vector<int64_t> read_labels(const std::string& file, int64_t classes);

}  // namespace mode_ensemble
