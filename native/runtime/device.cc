#include "runtime/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include "cuda/devices.h"
#include "runtime/error.h"

namespace mode_ensemble {

RuntimeInfo runtime_info() {
  RuntimeInfo info;
  info.libtorch = TORCH_VERSION;
  info.cpuCapability = at::get_cpu_capability();
  info.cuda = built_with_cuda();
  info.devices.push_back("cpu");
  for (const auto& gpu : cuda_devices()) {
    info.devices.push_back("cuda:" + std::to_string(info.gpus.size()));
    info.gpus.push_back(gpu.name + ", " + std::to_string(gpu.bytes >> 20) + " MiB, compute capability " +
                        std::to_string(gpu.major) + "." + std::to_string(gpu.minor));
  }
#if defined(__clang__)
  info.compiler = std::string("clang ") + __clang_version__;
#else
  info.compiler = std::string("gcc ") + __VERSION__;
#endif
  info.config = at::show_config() + at::get_parallel_info();
  return info;
}

void use_threads(int64_t threads) {
  if (threads < 1 || threads > 4096)
    throw Error(ErrorCode::config, "threads: expected 1 to 4096, found " + std::to_string(threads) + ".");
  at::set_num_threads(static_cast<int>(threads));
}

}  // namespace mode_ensemble
