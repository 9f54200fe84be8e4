// Writes a feature file row by row in bounded memory: room for all rows is laid out first, the rows go to
// their places, and what was not filled is closed up at the end.
#pragma once
#include <ATen/ATen.h>

#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "runtime/files.h"

namespace mode_ensemble {

class FeatureFile {
 public:
  // `columns`: name, dtype and the shape of one row; at most `capacity` rows.
  FeatureFile(const std::string& path, std::vector<TensorEntry> columns, int64_t capacity,
              std::map<std::string, std::string> metadata);
  // One tensor [n, ...] a column, in their order, contiguous, on the CPU and of the column's type.
  void append(const std::vector<at::Tensor>& rows);
  void commit();

 private:
  std::vector<TensorEntry> laid_out(int64_t rows) const;

  std::vector<TensorEntry> columns_;
  std::map<std::string, std::string> metadata_;
  int64_t capacity_, rows_ = 0, head_size_ = 0;
  std::vector<TensorEntry> places_;
  AtomicFile file_;
};

}  // namespace mode_ensemble
