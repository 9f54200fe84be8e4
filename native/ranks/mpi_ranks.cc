#include <dlfcn.h>

#include <string>

#include "ranks/mpi_module.h"
#include "ranks/ranks.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

const MpiModule& open_module() {
  static const MpiModule* const module = [] {
    Dl_info here{};
    dladdr(reinterpret_cast<void*>(&open_module), &here);
    const std::string file = here.dli_fname ? here.dli_fname : "";
    const auto path = file.substr(0, file.rfind('/') + 1) + "mode_ensemble_mpi.so";
    // MPI's plug-ins look for MPI among the names that everybody sees.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    auto* entry = library ? reinterpret_cast<MpiEntry*>(dlsym(library, kMpiEntry)) : nullptr;
    if (!entry)
      throw Error(ErrorCode::device,
                  "MPI: this build has none (" + std::string(dlerror()) +
                      "); install an MPI with its headers, for instance libopenmpi-dev, and build again.");
    return entry();
  }();
  return *module;
}

class MpiRanks final : public Ranks {
 public:
  MpiRanks(int rank, int size) : Ranks(rank, size) {}
  void sum(float* data, int64_t count) override { check(open_module().sum_float(data, count)); }
  void sum(double* data, int64_t count) override { check(open_module().sum_double(data, count)); }
  void broadcast(void* data, int64_t bytes) override { check(open_module().broadcast(data, bytes)); }

 private:
  static void check(int code) {
    if (code != 0)
      throw Error(ErrorCode::device,
                  "MPI failed with code " + std::to_string(code) + ": another rank may have ended.");
  }
};

}  // namespace

std::shared_ptr<Ranks> join_by_mpi() {
  int rank = 0, size = 1;
  const int code = open_module().start(&rank, &size);
  if (code != 0) throw Error(ErrorCode::device, "MPI did not start: code " + std::to_string(code) + ".");
  return std::make_shared<MpiRanks>(rank, size);
}

}  // namespace mode_ensemble
