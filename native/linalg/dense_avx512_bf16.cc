// The kernels of dense blocks in bfloat16 for AVX-512's products of pairs; CMakeLists.txt compiles this file
// for them. The intrinsics are always inlined, so the linker finds no copy of them to take for other files.
#if defined(__AVX512BF16__)
#include <immintrin.h>

#define LANES 16
#define PANEL_VECTORS 2
#define ROWS 14
#define DENSE_HALF
#include "linalg/dense_body.h"

namespace mode_ensemble {
extern const DenseKernels dense_avx512_bf16;
const DenseKernels dense_avx512_bf16{normalise, pool, multiply, gradient, true, DEPTH, "avx512"};
}  // namespace mode_ensemble
#endif
