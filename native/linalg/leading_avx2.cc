// The kernels of the leading vector for AVX2; CMakeLists.txt compiles this file for it.
#if defined(__AVX2__) && defined(__FMA__)
#define LANES 4
#include "linalg/leading_body.h"

namespace mode_ensemble {
extern const LeadingKernels leading_avx2;
const LeadingKernels leading_avx2{gather, spread, squares, take_away, "avx2"};
}  // namespace mode_ensemble
#endif
