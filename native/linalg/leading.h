// The singular vectors of a matrix's largest singular value.
#pragma once
#include <cstdint>
#include <vector>

#include "linalg/leading_kernels.h"

namespace mode_ensemble {

// Memory for one matrix after another; a thread has its own.
class LeadingVectors {
 public:
  explicit LeadingVectors(const LeadingKernels& kernels) : kernels_(kernels) {}

  // True where the vectors are certain to belong to σ₁, u within 1e-9 radians: then `left` is u and `right`
  // Xᵀu = σ₁·v. Of zeros both are zero, of numbers that are not finite NaN. False where σ₁ does not stand out
  // enough; then they mean nothing.
  bool find(const LeadingRows& x);

  const std::vector<double>& left() const { return left_; }    // [P]
  const std::vector<double>& right() const { return right_; }  // [C]

 private:
  struct Ritz {
    double first, second;         // the two largest eigenvalues of the tridiagonal matrix; 0 for no second
    std::vector<double> weights;  // the unit eigenvector of the first
  };
  Ritz ritz() const;
  void fill(const LeadingRows& x, double value);

  const LeadingKernels& kernels_;
  std::vector<double> left_, right_;
  std::vector<double> basis_;           // [k, P], orthonormal
  std::vector<double> diagonal_, off_;  // of XXᵀ in the basis: αₖ, and βₖ between k and k + 1
};

}  // namespace mode_ensemble
