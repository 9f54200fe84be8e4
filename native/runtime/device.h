// Threads and precision of a job's own thread.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mode_ensemble {

struct RuntimeInfo {
  std::string libtorch, cpuCapability, compiler, config;
  bool cuda = false;
  std::vector<std::string> devices;
};

RuntimeInfo runtime_info();

// To be called first on a job's thread: the thread count of OpenMP is a property of the calling thread.
void use_threads(int64_t threads);

// float32 | bfloat16; throws Error(config) for anything else.
bool is_bfloat16(const std::string& precision);

// While it lives, this thread's convolutions and matrix products run in bfloat16 (LibTorch's CPU autocast).
class Autocast {
 public:
  explicit Autocast(const std::string& precision);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool on_ = false;
};

}  // namespace mode_ensemble
