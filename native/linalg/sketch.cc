#include "linalg/sketch.h"

#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_qr.h>

#include <algorithm>
#include <cmath>

#include "linalg/nearest.h"
#include "runtime/random.h"

namespace mode_ensemble {
namespace {

// Nanoseconds on one core of a 2.6 GHz EPYC (Zen 4), measured: what a comparison of codes costs for each
// number and for each pair, what a pair that passes costs, and what a multiplication in float32 does.
constexpr double kPerNumber = 2.0 / 460, kPerPair = 0.15;
constexpr double kPerPassed = 20, kPerPassedNumber = 0.05;
constexpr double kPerMultiplication = 2.0 / 100;
// Eigenvectors of a D × D matrix take about this · D³.
constexpr double kPerEigen = 0.4;
// How many more pairs pass than would with the final reach known from the start.
constexpr double kEarly = 2;

// Orthogonal [m, m]. It spreads what varies most over all numbers, so that one scale fits them.
at::Tensor mixing(int64_t m) {
  RandomStream stream(0, "sketch");
  auto values = at::empty({m, m}, at::kDouble);
  double* data = values.mutable_data_ptr<double>();
  const auto uniform = [&] { return static_cast<double>(stream.next() >> 11) * 0x1p-53; };
  for (int64_t i = 0; i < m * m; ++i)
    data[i] =
        std::sqrt(-2 * std::log(1 - uniform())) * std::cos(2 * M_PI * uniform());  // normal (Box, Muller)
  return std::get<0>(at::linalg_qr(values));
}

// The share of pairs of two samples that a comparison of sketches lets through.
double share_passed(const Sketch& sketch, const at::Tensor& bank, const at::Tensor& queries,
                    const std::vector<float>& reach) {
  std::vector<float> bank_blur(static_cast<size_t>(bank.size(0))),
      query_blur(static_cast<size_t>(queries.size(0)));
  const auto x = sketch.whole() ? bank : sketch.of(bank, bank_blur);
  const auto q = sketch.whole() ? queries : sketch.of(queries, query_blur);
  CoarseBank coarse(x.size(0), x.size(1));
  CoarseQueries asked(q.size(0), q.size(1));
  std::vector<int8_t> scratch(static_cast<size_t>(x.size(1)));
  for (int64_t i = 0; i < x.size(0); ++i)
    coarse.set(i, x.const_data_ptr<float>() + i * x.size(1), bank_blur[static_cast<size_t>(i)],
               scratch.data());
  for (int64_t i = 0; i < q.size(0); ++i)
    asked.set(i, q.const_data_ptr<float>() + i * q.size(1), query_blur[static_cast<size_t>(i)]);
  return static_cast<double>(count_marked(coarse, asked, q.size(0), reach.data())) /
         static_cast<double>(x.size(0) * q.size(0));
}

}  // namespace

Sketch::Sketch(at::Tensor projection) : width_(projection.size(0) + 1) {
  // ‖P‖² ≤ ‖PPᵀ‖ ≤ 1 + ‖PPᵀ − 1‖.
  const auto exact = projection.to(at::kDouble);
  const auto off = at::mm(exact, exact.t()).sub_(at::eye(exact.size(0), at::kDouble));
  projection_ =
      exact.div(std::sqrt(1 + at::linalg_vector_norm(off).item<double>()) * (1 + 0x1p-20)).to(at::kFloat);
}

at::Tensor Sketch::of(const at::Tensor& x, std::vector<float>& blur) const {
  const int64_t n = x.size(0), m = width_ - 1, width = x.size(1);
  auto out = at::empty({n, width_}, at::kFloat);
  const auto projected = at::mm(x, projection_.t());  // [n, m]
  const auto squares = x.square().sum(1), within = projected.square().sum(1);
  blur.resize(static_cast<size_t>(n));
  // A sum of D products in float32 is off by about √D roundings of its size (Higham and Mary, SIAM J. Sci.
  // Comput. 41, 2019: at most a few times that but for a chance that is nil); each of the m numbers is at
  // most ‖x‖.
  const float part = 4 * std::sqrt(static_cast<float>(width) * static_cast<float>(m)) * 0x1p-24F;
  const float *p = projected.const_data_ptr<float>(), *s = squares.const_data_ptr<float>(),
              *w = within.const_data_ptr<float>();
  float* o = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < n; ++i) {
    std::copy_n(p + i * m, m, o + i * width_);
    const float rest = std::sqrt(std::max(0.0F, s[i] - w[i]));
    // ‖x‖² − ‖Px‖² is off by `off`, its root by off / root or √off, whichever is less.
    const float off = (2 * part + 2 * rounding(width)) * s[i];
    const float root = off > 0 ? off / std::max(rest, std::sqrt(off)) : 0;
    o[i * width_ + m] = rest;
    blur[static_cast<size_t>(i)] = std::hypot(part * std::sqrt(s[i]), root);
  }
  return out;
}

Sketch choose_sketch(const at::Tensor& bank, const at::Tensor& queries, int64_t bank_rows, int64_t query_rows,
                     int64_t k, int64_t threads) {
  const int64_t width = bank.size(1), samples = bank.size(0);
  const auto rows = static_cast<double>(bank_rows), asked = static_cast<double>(query_rows);
  const auto cube = std::pow(static_cast<double>(width), 3);
  const double all = rows * asked * static_cast<double>(width) * kPerNumber / static_cast<double>(threads);
  // Not worth the eigenvectors, or too few rows to tell.
  if (width < 64 || samples < 1024 || queries.size(0) < 1 || all < 2 * kPerEigen * cube + 2e6)
    return Sketch(width);

  // How far each sampled query reaches: the bank's sample is thinner than the bank, and k with it.
  const auto tried = bank.slice(0, 0, samples, std::max<int64_t>(1, samples / 4096)).contiguous();
  const auto thin = static_cast<double>(k) * static_cast<double>(tried.size(0)) / rows;
  const auto nth = std::clamp<int64_t>(static_cast<int64_t>(std::lround(thin)), 1, tried.size(0));
  const auto squared = at::addmm(tried.square().sum(1).unsqueeze(0), queries, tried.t(), 1, -2)
                           .add_(queries.square().sum(1, true))
                           .clamp_min_(0);
  const auto kth = std::get<0>(squared.kthvalue(nth, 1)).sqrt_().contiguous();
  const std::vector<float> reach(kth.const_data_ptr<float>(), kth.const_data_ptr<float>() + kth.numel());

  const auto cost = [&](const Sketch& sketch) {
    const auto numbers = static_cast<double>(sketch.width());
    const double projecting =
        sketch.whole() ? 0
                       : kPerMultiplication * numbers * static_cast<double>(width) * (1 / rows + 1 / asked);
    return kPerNumber * numbers + kPerPair + projecting +
           kEarly * share_passed(sketch, tried, queries, reach) *
               (kPerPassed + kPerPassedNumber * static_cast<double>(width));
  };
  Sketch best(width);
  double least = cost(best);
  at::Tensor vectors;
  try {
    const auto covariance = at::mm(bank.t(), bank).div_(static_cast<double>(samples));
    vectors =
        std::get<1>(at::linalg_eigh(covariance)).flip(1).t();  // [D, D], a row a direction, the widest first
    if (!vectors.isfinite().all().item<bool>()) return best;
    for (int64_t numbers = 32; numbers <= width / 2; numbers *= 2) {
      const Sketch sketch(at::mm(mixing(numbers - 1), vectors.narrow(0, 0, numbers - 1).to(at::kDouble)));
      const double found = cost(sketch);
      if (found < least) least = found, best = sketch;
    }
  } catch (const c10::Error&) {
    // A LibTorch without LAPACK has no eigenvectors. The search is as exact without them.
  }
  return best;
}

}  // namespace mode_ensemble
