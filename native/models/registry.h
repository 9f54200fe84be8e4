// The table of architectures, without LibTorch's headers: what the addon lists and checks.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace mode_ensemble {

struct ArchOptions {
  std::string name;
  int64_t width = 0;
  int64_t classes = 0;
};

struct ArchitectureInfo {
  std::string name;
  std::vector<std::string> aliases;
  int64_t width;
  int64_t inputSize;
  std::vector<int64_t> stages;
  std::array<double, 3> mean, std;
};

std::vector<ArchitectureInfo> architectures();

}  // namespace mode_ensemble
