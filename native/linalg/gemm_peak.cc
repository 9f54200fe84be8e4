#include "linalg/gemm_peak.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "runtime/compute.h"
#include "runtime/device.h"

namespace mode_ensemble {

double gemm_peak(const GemmPeakOptions& options, JobContext& context) {
  if (options.size < 1)
    throw Error(ErrorCode::config, "size: expected at least 1, found " + std::to_string(options.size) + ".");
  use_threads(options.threads);
  const c10::NoGradGuard no_grad;
  const auto type = Compute(options.precision).type;
  const auto n = options.size;
  const auto a = at::rand({n, n}).to(type), b = at::rand({n, n}).to(type);
  auto c = at::empty({n, n}, type);
  // The first one sets up what the others find.
  at::mm_out(c, a, b);
  constexpr int kLeast = 3;
  double fastest = std::numeric_limits<double>::infinity();
  const auto began = std::chrono::steady_clock::now();
  for (int done = 0; done < kLeast || seconds_since(began) < options.seconds; ++done) {
    context.throw_if_aborted();
    const auto start = std::chrono::steady_clock::now();
    at::mm_out(c, a, b);
    fastest = std::min(fastest, seconds_since(start));
  }
  const double side = static_cast<double>(n);
  return 2 * side * side * side / fastest / 1e9;
}

}  // namespace mode_ensemble
