#include "linalg/leading_kernels.h"

// What every processor runs.
#define LANES 2
#include "linalg/leading_body.h"

namespace mode_ensemble {

#if defined(__x86_64__) && defined(__GNUC__)
extern const LeadingKernels leading_avx512, leading_avx2;
#endif

std::vector<const LeadingKernels*> all_leading_kernels() {
  static const LeadingKernels leading_plain{gather, spread, squares, take_away, "plain"};
  std::vector<const LeadingKernels*> kernels;
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f")) kernels.push_back(&leading_avx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) kernels.push_back(&leading_avx2);
#endif
  kernels.push_back(&leading_plain);
  return kernels;
}

}  // namespace mode_ensemble
