// What went wrong, whoever threw it.
#pragma once
#include <string>

#include "runtime/error.h"

namespace mode_ensemble {

// To be called inside a catch block: the current exception of ours, the standard library's or LibTorch's as a
// code and one sentence (without LibTorch's C++ backtrace).
Error current_failure();

}  // namespace mode_ensemble
