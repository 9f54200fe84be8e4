// Winograd's kernels for AVX-512; CMakeLists.txt compiles this file for it.
#if defined(__AVX512F__)
#define LANES 16
#define PANEL_VECTORS 2
#define ROWS 12
#include "linalg/winograd_body.h"
#include "linalg/winograd_strided_body.h"

namespace mode_ensemble {
extern const WinogradKernels winograd_avx512;
const WinogradKernels winograd_avx512{
    {input, output}, {halving_input, halving_output}, {doubling_input, doubling_output}, product, "avx512"};
}  // namespace mode_ensemble
#endif
