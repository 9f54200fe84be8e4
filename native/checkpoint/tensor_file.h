// LibTorch tensors to and from safetensors files.
#pragma once
#include <ATen/ATen.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mode_ensemble {

// Float32 and int64 as they are, row-major; written whole or not at all.
void write_tensors(const std::string& path, const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                   const std::map<std::string, std::string>& metadata);

// Float32 and int64 tensors by name. Throws Error(checkpoint) where one is not there or of another type.
std::map<std::string, at::Tensor> read_tensors(const std::string& path,
                                               const std::vector<std::string>& names);

}  // namespace mode_ensemble
