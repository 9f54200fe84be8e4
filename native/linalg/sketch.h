// Short stand-ins of vectors whose distances are never larger than those of the vectors.
#pragma once
#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace mode_ensemble {

// s(x) = (P x, ‖x − PᵀP x‖) with ‖P‖ ≤ 1. With B² = 1 − PᵀP the last number is ‖Bx‖, so that
// ‖s(q) − s(x)‖² ≤ ‖P(q − x)‖² + ‖B(q − x)‖² = ‖q − x‖², and ‖s(x)‖ = ‖x‖. Without P it is x itself.
class Sketch {
 public:
  Sketch() = default;
  explicit Sketch(int64_t width) : width_(width) {}
  explicit Sketch(at::Tensor projection);  // [m, D], rows orthonormal up to rounding

  int64_t width() const { return width_; }
  bool whole() const { return !projection_.defined(); }

  // Of `x` [n, D]: [n, width()], and in `blur` [n] how far a row may be off by rounding in float32. Not for
  // whole().
  at::Tensor of(const at::Tensor& x, std::vector<float>& blur) const;

 private:
  at::Tensor projection_;
  int64_t width_ = 0;
};

// The sketch with which a search for the k nearest of `bank_rows` rows is expected to take the least time,
// found by trying some on samples: `bank` [S, D] and `queries` [s, D], both centred. Projections are onto the
// directions in which the bank's sample varies most: features of trained networks lie near a space of few
// dimensions.
Sketch choose_sketch(const at::Tensor& bank, const at::Tensor& queries, int64_t bank_rows, int64_t query_rows,
                     int64_t k, int64_t threads);

}  // namespace mode_ensemble
