// The kernels of batch norm for AVX2; CMakeLists.txt compiles this file for it.
#if defined(__AVX2__) && defined(__FMA__)
#define LANES 8
#include "linalg/norm_body.h"

namespace mode_ensemble {
extern const NormKernels norm_avx2;
const NormKernels norm_avx2{moments, apply, gradient_sums, gradient, "avx2"};
}  // namespace mode_ensemble
#endif
