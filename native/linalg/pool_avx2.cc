// The kernels of pooling for AVX2; CMakeLists.txt compiles this file for it.
#if defined(__AVX2__) && defined(__FMA__)
#define LANES 8
#include "linalg/pool_body.h"

namespace mode_ensemble {
extern const PoolKernels pool_avx2;
const PoolKernels pool_avx2{average, maximum, "avx2"};
}  // namespace mode_ensemble
#endif
