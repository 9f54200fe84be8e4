// The kernels of dense blocks for AVX2; CMakeLists.txt compiles this file for it.
#if defined(__AVX2__) && defined(__FMA__)
#define LANES 8
#define PANEL_VECTORS 4
#define ROWS 3
#include "linalg/dense_body.h"

namespace mode_ensemble {
extern const DenseKernels dense_avx2;
const DenseKernels dense_avx2{normalise, pool, multiply, gradient, false, DEPTH, "avx2"};
}  // namespace mode_ensemble
#endif
