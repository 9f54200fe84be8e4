// The features of an ensemble, row by row: the mean over its members, normalised.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/dtype.h"
#include "runtime/files.h"

namespace mode_ensemble {

class FeatureRows {
 public:
  // A feature file a member, of which `tensor` [N, D] is read, float32 or float16. E_DATA names the file that
  // is not so or has another shape than the first.
  FeatureRows(const std::vector<std::string>& files, const std::string& tensor);

  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  const std::string& path() const { return members_.front().file->path(); }

  // f / (‖f‖ + 1e-10) for the mean f over members. `scratch` and `out` hold width() numbers. E_DATA names the
  // file and the row where a number is not finite. May be called from many threads at once.
  void fuse(int64_t row, float* scratch, float* out) const;

 private:
  struct Member {
    std::unique_ptr<const MappedFile> file;
    const uint8_t* data = nullptr;  // not aligned
    DType type = DType::f32;
  };

  std::string tensor_;
  std::vector<Member> members_;
  int64_t rows_ = 0, width_ = 0;
};

}  // namespace mode_ensemble
