// Which of a kernel's versions runs.
#pragma once
#include <ATen/Version.h>

#include <string_view>
#include <vector>

namespace mode_ensemble {

// The first of `all`, the fastest first, whose instruction set LibTorch uses too, or null. (Its
// ATEN_CPU_CAPABILITY holds it to fewer, as tests do.)
template <typename Kernels>
const Kernels* fastest(const std::vector<const Kernels*>& all) {
  const auto used = at::get_cpu_capability();
  for (const auto* kernels : all)
    if (used == "AVX512" || (used == "AVX2" && std::string_view(kernels->name) == "avx2")) return kernels;
  return nullptr;
}

}  // namespace mode_ensemble
