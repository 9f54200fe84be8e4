// What the library beside the addon offers that knows MPI: a machine without MPI loads the addon all the
// same.
#pragma once
#include <cstdint>

namespace mode_ensemble {

// All return 0, or MPI's error code.
struct MpiModule {
  int (*start)(int* rank, int* size);  // once a process; ended with the process
  int (*sum_float)(float* data, int64_t count);
  int (*sum_double)(double* data, int64_t count);
  int (*broadcast)(void* data, int64_t bytes);
};

constexpr const char* kMpiEntry = "mode_ensemble_mpi";
using MpiEntry = const MpiModule*();

}  // namespace mode_ensemble
