// Compiled into a library of its own, where there is an MPI to compile against.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include "ranks/mpi_module.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace mode_ensemble {
namespace {

constexpr int64_t kMost = int64_t{1} << 28;  // MPI counts in int
constexpr int kSpins = 200;
constexpr useconds_t kPause = 50;

// Ranks that were stopped (128 and the signal) have agreed on it, and wait for each other. One that failed
// alone must not: the others are in the middle of a sum, and MPI_Finalize would wait for them for ever.
void end(int status) {
  int ended = 0;
  MPI_Finalized(&ended);
  if (ended) return;
  if (status != 0 && status < 128)
    MPI_Abort(MPI_COMM_WORLD, status);
  else
    MPI_Finalize();
}

#ifdef __GLIBC__
void at_exit(int status, void*) { end(status); }
#else
void at_exit() { end(0); }
#endif

int start(int* rank, int* size) {
  int before = 0, given = 0;
  MPI_Initialized(&before);
  if (!before) {
    // One thread at a time, but not always the same.
    const int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &given);
    if (code != MPI_SUCCESS) return code;
    if (given < MPI_THREAD_SERIALIZED) return MPI_ERR_OTHER;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
#ifdef __GLIBC__
    on_exit(at_exit, nullptr);
#else
    std::atexit(at_exit);
#endif
  }
  MPI_Comm_rank(MPI_COMM_WORLD, rank);
  return MPI_Comm_size(MPI_COMM_WORLD, size);
}

// MPI's own waiting takes a whole core, which the forward and backward passes need.
int wait(MPI_Request request) {
  int done = 0;
  for (int i = 0; !done; ++i) {
    const int code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS) return code;
    if (!done && i >= kSpins) usleep(kPause);
  }
  return MPI_SUCCESS;
}

template <typename T>
int sum(T* data, int64_t count, MPI_Datatype type) {
  for (int64_t done = 0; done < count; done += kMost) {
    MPI_Request request = MPI_REQUEST_NULL;
    const int code =
        MPI_Iallreduce(MPI_IN_PLACE, data + done, static_cast<int>(std::min(kMost, count - done)), type,
                       MPI_SUM, MPI_COMM_WORLD, &request);
    const int ended = code == MPI_SUCCESS ? wait(request) : code;
    if (ended != MPI_SUCCESS) return ended;
  }
  return MPI_SUCCESS;
}

int sum_float(float* data, int64_t count) { return sum(data, count, MPI_FLOAT); }
int sum_double(double* data, int64_t count) { return sum(data, count, MPI_DOUBLE); }

int broadcast(void* data, int64_t bytes) {
  for (int64_t done = 0; done < bytes; done += kMost) {
    MPI_Request request = MPI_REQUEST_NULL;
    const int code =
        MPI_Ibcast(static_cast<char*>(data) + done, static_cast<int>(std::min(kMost, bytes - done)), MPI_BYTE,
                   0, MPI_COMM_WORLD, &request);
    const int ended = code == MPI_SUCCESS ? wait(request) : code;
    if (ended != MPI_SUCCESS) return ended;
  }
  return MPI_SUCCESS;
}

}  // namespace
}  // namespace mode_ensemble

extern "C" __attribute__((visibility("default"))) const mode_ensemble::MpiModule* mode_ensemble_mpi() {
  static const mode_ensemble::MpiModule module{mode_ensemble::start, mode_ensemble::sum_float,
                                               mode_ensemble::sum_double, mode_ensemble::broadcast};
  return &module;
}
