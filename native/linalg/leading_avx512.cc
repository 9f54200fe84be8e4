// The kernels of the leading vector for AVX-512; CMakeLists.txt compiles this file for it.
#if defined(__AVX512F__)
#define LANES 8
#include "linalg/leading_body.h"

namespace mode_ensemble {
extern const LeadingKernels leading_avx512;
const LeadingKernels leading_avx512{gather, spread, squares, take_away, "avx512"};
}  // namespace mode_ensemble
#endif
