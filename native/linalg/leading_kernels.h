// Products of a matrix with a vector, and the matrix less an outer product: rows [P, C] of float32, or of
// bfloat16 where `half` is set; vectors, products and sums in float64.
#pragma once
#include <cstdint>
#include <vector>

namespace mode_ensemble {

struct LeadingRows {
  const void* at = nullptr;
  bool half = false;
  int64_t rows = 0, columns = 0;
};

struct LeadingKernels {
  // u [P] → t [C] = Xᵀu.
  void (*gather)(const LeadingRows& x, const double* u, double* t);
  // t [C] → u [P] = X·t.
  void (*spread)(const LeadingRows& x, const double* t, double* u);
  // → u [P], the squares of the rows' lengths.
  void (*squares)(const LeadingRows& x, double* u);
  // → out [P, C] = X − u·tᵀ, rounded to float32 at the end.
  void (*take_away)(const LeadingRows& x, const double* u, const double* t, float* out);
  const char* name;
};

// Those that this processor runs, the fastest first; the last, "plain", runs on every one.
std::vector<const LeadingKernels*> all_leading_kernels();

}  // namespace mode_ensemble
