// Winograd's kernels for AVX2; CMakeLists.txt compiles this file for it.
#if defined(__AVX2__) && defined(__FMA__)
#define LANES 8
#define PANEL_VECTORS 4
#define ROWS 3
#include "linalg/winograd_body.h"
#include "linalg/winograd_strided_body.h"

namespace mode_ensemble {
extern const WinogradKernels winograd_avx2;
const WinogradKernels winograd_avx2{
    {input, output}, {halving_input, halving_output}, {doubling_input, doubling_output}, product, "avx2"};
}  // namespace mode_ensemble
#endif
