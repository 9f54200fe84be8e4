// The kernels of pooling for AVX-512; CMakeLists.txt compiles this file for it.
#if defined(__AVX512F__)
#define LANES 16
#include "linalg/pool_body.h"

namespace mode_ensemble {
extern const PoolKernels pool_avx512;
const PoolKernels pool_avx512{average, maximum, "avx512"};
}  // namespace mode_ensemble
#endif
