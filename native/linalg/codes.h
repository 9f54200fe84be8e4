// Vectors as whole numbers times a scale, together with how far that is from the vector: what bounds are made
// of.
#pragma once
#include <cstdint>
#include <vector>

#include "linalg/near_kernels.h"

namespace mode_ensemble {

// What is known of a coded vector v ≈ scale · code.
struct CodeFacts {
  float scale = 0;
  float half = 0;   // ½ ‖scale · code‖²
  float norm = 0;   // at least ‖v‖
  float error = 0;  // at least ‖v − scale · code‖
  float slack = 0;  // at most ½ (‖v‖² − ‖scale · code‖²)
};

// How far, at most and as a part of the sum of the sizes, a sum of `n` products in float32 is off where it is
// taken in 16 lanes, as all such sums here are.
float rounding(int64_t n);

// Codes one vector of `n` numbers with numbers of at most `most`. `blur` is how far v itself may be from what
// it stands for.
CodeFacts encode(const float* v, int64_t n, float blur, int8_t* codes);
CodeFacts encode(const float* v, int64_t n, float blur, int16_t* codes);

// Queries in groups of kGroup, for NearKernels::mark.
class CoarseQueries {
 public:
  CoarseQueries() = default;
  CoarseQueries(int64_t rows, int64_t width);
  void set(int64_t row, const float* v, float blur);

  GroupView group(int64_t first) const;  // `first` is a multiple of kGroup
  const CodeFacts& facts(int64_t row) const { return facts_[static_cast<size_t>(row)]; }
  int64_t quads() const { return quads_; }
  int64_t width() const { return width_; }

 private:
  int64_t width_ = 0, quads_ = 0;
  std::vector<int8_t> codes_;
  std::vector<int32_t> start_;
  std::vector<float> scale_;
  std::vector<CodeFacts> facts_;
};

// The bank's rows in panels.
class CoarseBank {
 public:
  CoarseBank() = default;
  CoarseBank(int64_t rows, int64_t width);
  static int64_t bytes_of_row(int64_t width) { return (width + 3) / 4 * 4 + 12; }
  // Rows of one panel must be set by one thread; `scratch` holds `width` codes.
  void set(int64_t row, const float* v, float blur, int8_t* scratch);

  struct Bounds {
    float error = 0, norm = 0;  // the largest of the panel
    float slack = 0;            // the smallest
  };
  int64_t panels() const { return static_cast<int64_t>(bounds_.size()); }
  PanelView panel(int64_t index) const;
  const Bounds& bounds(int64_t panel) const { return bounds_[static_cast<size_t>(panel)]; }
  // Which of the panel's rows there are.
  uint32_t rows_of(int64_t panel) const;

 private:
  int64_t rows_ = 0, width_ = 0, quads_ = 0;
  std::vector<uint8_t> codes_;
  std::vector<float> scale_, half_;
  std::vector<Bounds> bounds_;
};

// 16-bit codes, a row after the other.
class FineRows {
 public:
  FineRows() = default;
  FineRows(int64_t rows, int64_t width);
  static int64_t bytes_of_row(int64_t width) {
    return (width + 31) / 32 * 32 * static_cast<int64_t>(sizeof(int16_t)) +
           static_cast<int64_t>(sizeof(Facts));
  }
  void set(int64_t row, const float* v);

  // What a comparison needs of a row.
  struct Facts {
    double square = 0;  // ‖scale · code‖²
    float scale = 0, error = 0;
  };
  const int16_t* codes(int64_t row) const { return codes_.data() + row * stride_; }
  const Facts& facts(int64_t row) const { return facts_[static_cast<size_t>(row)]; }
  int64_t stride() const { return stride_; }

 private:
  int64_t width_ = 0, stride_ = 0;
  std::vector<int16_t> codes_;
  std::vector<Facts> facts_;
};

}  // namespace mode_ensemble
