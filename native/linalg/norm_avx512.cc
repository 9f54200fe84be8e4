// The kernels of batch norm for AVX-512; CMakeLists.txt compiles this file for it.
#if defined(__AVX512F__)
#define LANES 16
#include "linalg/norm_body.h"

namespace mode_ensemble {
extern const NormKernels norm_avx512;
const NormKernels norm_avx512{moments, apply, gradient_sums, gradient, "avx512"};
}  // namespace mode_ensemble
#endif
