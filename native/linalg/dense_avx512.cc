// The kernels of dense blocks for AVX-512; CMakeLists.txt compiles this file for it.
#if defined(__AVX512F__)
#define LANES 16
#define PANEL_VECTORS 2
#define ROWS 14
#include "linalg/dense_body.h"

namespace mode_ensemble {
extern const DenseKernels dense_avx512;
const DenseKernels dense_avx512{normalise, pool, multiply, gradient, false, DEPTH, "avx512"};
}  // namespace mode_ensemble
#endif
