#include "linalg/pool_kernels.h"

namespace mode_ensemble {

#if defined(__x86_64__) && defined(__GNUC__)
extern const PoolKernels pool_avx512, pool_avx2;
#endif

std::vector<const PoolKernels*> all_pool_kernels() {
  std::vector<const PoolKernels*> kernels;
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f")) kernels.push_back(&pool_avx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) kernels.push_back(&pool_avx2);
#endif
  return kernels;
}

}  // namespace mode_ensemble
