#include "linalg/dense_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

namespace mode_ensemble {

#if defined(__x86_64__) && defined(__GNUC__)
extern const DenseKernels dense_avx512_bf16, dense_avx512, dense_avx2;

namespace {

// Whether the processor multiplies tiles of bfloat16: bit 22 of EDX of CPUID's leaf 7, which compilers name
// differently.
bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && ((d >> 22) & 1) != 0;
}

}  // namespace
#endif

std::vector<const DenseKernels*> all_dense_kernels(bool half) {
  std::vector<const DenseKernels*> kernels;
#if defined(__x86_64__) && defined(__GNUC__)
  if (half) {
    if (__builtin_cpu_supports("avx512bf16") && !has_amx()) kernels.push_back(&dense_avx512_bf16);
    return kernels;
  }
  if (__builtin_cpu_supports("avx512f")) kernels.push_back(&dense_avx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) kernels.push_back(&dense_avx2);
#endif
  return kernels;
}

}  // namespace mode_ensemble
