#include "linalg/winograd_kernels.h"

namespace mode_ensemble {

#if defined(__x86_64__) && defined(__GNUC__)
extern const WinogradKernels winograd_avx512, winograd_avx2;
#endif

std::vector<const WinogradKernels*> all_winograd_kernels() {
  std::vector<const WinogradKernels*> kernels;
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f")) kernels.push_back(&winograd_avx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) kernels.push_back(&winograd_avx2);
#endif
  return kernels;
}

}  // namespace mode_ensemble
