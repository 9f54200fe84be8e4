#include "extract/rank1.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace mode_ensemble {
namespace {

// Bound of the angle between the vector found and the true one, in radians. What is left of the map is wrong
// by about σ₁/σ₂ times as much.
constexpr double kTolerance = 1e-9;
constexpr int kMostSteps = 200;
// Memory for the matrices that are worked on at a time.
constexpr int64_t kChunkBytes = int64_t{64} << 20;

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// y = G·x of a symmetric G: sums of its rows, so that the compiler can use vectors without changing the order
// of additions.
void multiply(const double* g, const double* x, double* y, int64_t n) {
  std::fill_n(y, n, 0.0);
  for (int64_t i = 0; i < n; ++i) {
    const double* row = g + i * n;
    const double factor = x[i];
    for (int64_t j = 0; j < n; ++j) y[j] += factor * row[j];
  }
}

// The unit eigenvector of the largest eigenvalue of a symmetric matrix G [n, n] without negative eigenvalues,
// by power iteration. True where it is certain to be that one, within kTolerance: the other eigenvalues'
// squares sum to ‖G‖² − λ², so none of them is above β = √(‖G‖² − λ²), and the angle is at most the residual
// ‖Gv − λv‖ divided by λ − β (Davis and Kahan, SIAM J. Numer. Anal. 7, 1970).
bool find_leading(const double* g, int64_t n, double* v) {
  const double square = dot(g, g, n * n);  // ‖G‖²
  if (square == 0 || !std::isfinite(square)) {
    std::fill_n(v, n, square == 0 ? 0 : std::numeric_limits<double>::quiet_NaN());
    return true;
  }
  // The column of the largest diagonal element is not zero.
  int64_t start = 0;
  for (int64_t i = 1; i < n; ++i)
    if (g[i * n + i] > g[start * n + start]) start = i;
  std::vector<double> w(g + start * n, g + (start + 1) * n);
  for (int step = 0; step < kMostSteps; ++step) {
    const double length = std::sqrt(dot(w.data(), w.data(), n));
    for (int64_t i = 0; i < n; ++i) v[i] = w[i] / length;
    multiply(g, v, w.data(), n);
    const double value = dot(v, w.data(), n);
    double residual = 0;
    for (int64_t i = 0; i < n; ++i) residual += (w[i] - value * v[i]) * (w[i] - value * v[i]);
    const double gap = value - std::sqrt(std::max(0.0, square - value * value));
    if (std::sqrt(residual) <= kTolerance * gap) return true;
  }
  return false;
}

// [n, k, k] → [n, k, 1].
at::Tensor leading_vectors(const at::Tensor& grams) {
  const int64_t count = grams.size(0), size = grams.size(1);
  auto vectors = at::empty({count, size, 1}, grams.options());
  std::vector<char> found(static_cast<size_t>(count));
  const double* g = grams.const_data_ptr<double>();
  double* v = vectors.mutable_data_ptr<double>();
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      found[static_cast<size_t>(i)] = find_leading(g + i * size * size, size, v + i * size);
  });
  // Where the largest eigenvalue does not stand out, all of them are computed.
  for (int64_t i = 0; i < count; ++i)
    if (!found[static_cast<size_t>(i)])
      vectors[i].copy_(std::get<1>(at::linalg_eigh(grams[i])).slice(1, size - 1));
  return vectors;
}

}  // namespace

at::Tensor without_rank1(const at::Tensor& map) {
  // The iteration goes image by image, as long as each needs.
  if (!map.is_cpu()) return without_rank1(map.cpu()).to(map.device());
  const int64_t n = map.size(0), c = map.size(1), h = map.size(2), w = map.size(3), p = h * w;
  const auto rows = map.permute({0, 2, 3, 1}).reshape({n, p, c});
  auto left = at::empty({n, p, c}, map.options().dtype(at::kFloat));
  const bool over_space = p <= c;  // which of the two Gram matrices is the smaller one
  const int64_t side = std::min(p, c);
  const int64_t bytes = static_cast<int64_t>(sizeof(double)) * (p * c + 2 * side * side);
  const int64_t most = std::max<int64_t>(1, kChunkBytes / bytes);
  for (int64_t begin = 0; begin < n; begin += most) {
    const int64_t count = std::min(most, n - begin);
    // In float64, since squaring squares the condition.
    auto x = rows.narrow(0, begin, count).to(at::kDouble);  // [count, P, C]
    if (over_space) {
      const auto u = leading_vectors(at::bmm(x, x.transpose(1, 2)));
      x.baddbmm_(u, at::bmm(u.transpose(1, 2), x), 1, -1);
    } else {
      const auto v = leading_vectors(at::bmm(x.transpose(1, 2), x));
      x.baddbmm_(at::bmm(x, v), v.transpose(1, 2), 1, -1);
    }
    left.narrow(0, begin, count).copy_(x);
  }
  return left.view({n, h, w, c}).permute({0, 3, 1, 2});
}

}  // namespace mode_ensemble
