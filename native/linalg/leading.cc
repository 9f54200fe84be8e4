#include "linalg/leading.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mode_ensemble {
namespace {

// Bound of the angle between the vector found and the true one, in radians. What is left of the matrix is
// wrong by about σ₁/σ₂ times as much.
constexpr double kTolerance = 1e-9;
// Of products and sums of some thousand numbers in float64, with much to spare, relative to the result.
constexpr double kRounding = 1e-14;
// Maps of trained convolutional networks take 4 to 14, those of transformers up to 28.
constexpr int64_t kMostSteps = 40;

double dot(const double* a, const double* b, int64_t n) {
  // Four chains of additions.
  double sums[4] = {};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int64_t j = 0; j < 4; ++j) sums[j] += a[i + j] * b[i + j];
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

void subtract(double* from, double factor, const double* vector, int64_t n) {
  for (int64_t i = 0; i < n; ++i) from[i] -= factor * vector[i];
}

void scale(double* vector, double factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) vector[i] *= factor;
}

// How many eigenvalues of the symmetric tridiagonal matrix are above `value` (Sturm's sequence).
size_t count_above(const std::vector<double>& diagonal, const std::vector<double>& off, double value) {
  size_t count = 0;
  double pivot = 1;
  for (size_t k = 0; k < diagonal.size(); ++k) {
    pivot = diagonal[k] - value - (k > 0 ? off[k - 1] * off[k - 1] / pivot : 0);
    if (pivot == 0) pivot = std::numeric_limits<double>::min();
    if (pivot > 0) ++count;
  }
  return count;
}

// The largest `value` in [low, high] with at least `place` eigenvalues above it.
double bisect(const std::vector<double>& diagonal, const std::vector<double>& off, size_t place, double low,
              double high) {
  for (;;) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return high;
    (count_above(diagonal, off, middle) >= place ? low : high) = middle;
  }
}

}  // namespace

LeadingVectors::Ritz LeadingVectors::ritz() const {
  const size_t size = diagonal_.size();
  // Gershgorin.
  double high = 0;
  for (size_t k = 0; k < size; ++k)
    high = std::max(high, diagonal_[k] + (k > 0 ? off_[k - 1] : 0) + (k + 1 < size ? off_[k] : 0));
  Ritz found{bisect(diagonal_, off_, 1, 0, high), 0, std::vector<double>(size)};
  if (size > 1) found.second = bisect(diagonal_, off_, 2, 0, found.first);
  // From the last row to the first, in which direction the numbers grow and errors do not.
  auto& weights = found.weights;
  weights[size - 1] = 1;
  for (size_t k = size - 1; k > 0; --k) {
    const double below = k + 1 < size ? off_[k] * weights[k + 1] : 0;
    weights[k - 1] = ((found.first - diagonal_[k]) * weights[k] - below) / off_[k - 1];
  }
  const auto n = static_cast<int64_t>(size);
  scale(weights.data(), 1 / std::sqrt(dot(weights.data(), weights.data(), n)), n);
  return found;
}

void LeadingVectors::fill(const LeadingRows& x, double value) {
  left_.assign(static_cast<size_t>(x.rows), value);
  right_.assign(static_cast<size_t>(x.columns), value);
}

// Lanczos' method with G = XXᵀ, from the rows' lengths, which are near u where no number is negative.
//
// In its basis of k vectors and any other k' to make it whole G is [T, E; Eᵀ, R]: T is tridiagonal, E has one
// element, β, and R no negative eigenvalue, so that none is above its trace, ‖X‖² − tr T. By Weyl's bound all
// of G's eigenvalues but the first are at most λ = max(θ₂, tr R) + β, and the angle between Ritz vector and
// eigenvector is at most the residual divided by θ₁ − λ (Davis and Kahan, SIAM J. Numer. Anal. 7, 1970), θ
// being the eigenvalues of T, and the residual β times the last element of T's eigenvector.
bool LeadingVectors::find(const LeadingRows& x) {
  const int64_t n = x.rows;
  fill(x, 0);
  kernels_.squares(x, left_.data());
  double total = 0;  // ‖X‖²
  for (const double square : left_) total += square;
  if (total == 0 || !std::isfinite(total)) {
    fill(x, total == 0 ? 0 : std::numeric_limits<double>::quiet_NaN());
    return true;
  }
  diagonal_.clear();
  off_.clear();
  basis_.resize(static_cast<size_t>(n * std::min(n, kMostSteps)));
  for (int64_t i = 0; i < n; ++i)
    basis_[static_cast<size_t>(i)] = std::sqrt(left_[static_cast<size_t>(i)] / total);
  double rest = total;  // tr R
  for (int64_t step = 0; step < std::min(n, kMostSteps); ++step) {
    double* const newest = basis_.data() + step * n;
    double* const next = left_.data();
    kernels_.gather(x, newest, right_.data());
    kernels_.spread(x, right_.data(), next);
    diagonal_.push_back(dot(newest, next, n));
    rest -= diagonal_.back();
    subtract(next, diagonal_.back(), newest, n);
    if (step > 0) subtract(next, off_.back(), newest - n, n);
    // In exact arithmetic that would be all; rounding lets vectors lose that they are orthogonal.
    for (const double* vector = newest; vector >= basis_.data(); vector -= n)
      subtract(next, dot(vector, next, n), vector, n);
    const double beta = std::sqrt(dot(next, next, n));
    const auto [first, second, weights] = ritz();
    const double gap = first - std::max({second, rest, 0.0}) - beta;
    if (beta * std::abs(weights.back()) + kRounding * first <= kTolerance * gap) {
      std::fill(left_.begin(), left_.end(), 0);
      for (int64_t k = 0; k <= step; ++k)
        subtract(left_.data(), -weights[static_cast<size_t>(k)], basis_.data() + k * n, n);
      scale(left_.data(), 1 / std::sqrt(dot(left_.data(), left_.data(), n)), n);
      kernels_.gather(x, left_.data(), right_.data());
      return true;
    }
    // Nothing is left to look into.
    if (beta <= kRounding * total) return false;
    off_.push_back(beta);
    if (step + 1 < std::min(n, kMostSteps)) {
      std::copy_n(next, n, newest + n);
      scale(newest + n, 1 / beta, n);
    }
  }
  return false;
}

}  // namespace mode_ensemble
