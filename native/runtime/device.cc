#include "runtime/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <torch/headeronly/version.h>

#include "runtime/error.h"

namespace mode_ensemble {

RuntimeInfo runtime_info() {
  RuntimeInfo info;
  info.libtorch = TORCH_VERSION;
  info.cpuCapability = at::get_cpu_capability();
  info.cuda = at::hasCUDA();
  info.devices.push_back("cpu");
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

bool is_bfloat16(const std::string& precision) {
  if (precision != "bfloat16" && precision != "float32")
    throw Error(ErrorCode::config, "precision: expected float32 or bfloat16, found \"" + precision + "\".");
  return precision == "bfloat16";
}

Autocast::Autocast(const std::string& precision) : on_(is_bfloat16(precision)) {
  if (!on_) return;
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!on_) return;
  // The cache holds bfloat16 copies of the weights; they are stale once the weights move on.
  at::autocast::decrement_nesting();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
}

}  // namespace mode_ensemble
