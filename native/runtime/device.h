// What LibTorch is and can, and the threads of a job.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mode_ensemble {

struct RuntimeInfo {
  std::string libtorch, cpuCapability, compiler, config;
  bool cuda = false;                 // LibTorch is a CUDA build
  std::vector<std::string> devices;  // cpu, cuda:0, …
  std::vector<std::string> gpus;     // of these GPUs: name, memory, compute capability
};

RuntimeInfo runtime_info();

// To be called first on a job's thread: the thread count of OpenMP is a property of the calling thread.
void use_threads(int64_t threads);

}  // namespace mode_ensemble
