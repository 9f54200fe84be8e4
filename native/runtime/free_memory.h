// How much memory there is to take.
#pragma once
#include <cstdint>

namespace mode_ensemble {

// Bytes that this process may still take without pushing others out: the system's, and the control group's
// (version 2), which may be fewer. 0 where the system does not tell.
int64_t free_memory();

}  // namespace mode_ensemble
