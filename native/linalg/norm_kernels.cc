#include "linalg/norm_kernels.h"

namespace mode_ensemble {

#if defined(__x86_64__) && defined(__GNUC__)
extern const NormKernels norm_avx512, norm_avx2;
#endif

std::vector<const NormKernels*> all_norm_kernels() {
  std::vector<const NormKernels*> kernels;
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f")) kernels.push_back(&norm_avx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) kernels.push_back(&norm_avx2);
#endif
  return kernels;
}

}  // namespace mode_ensemble
