// The table of architectures, without LibTorch's headers: what the addon lists and checks.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/transform.h"

namespace mode_ensemble {

struct ArchOptions {
  std::string name;
  int64_t width = 0;
  int64_t classes = 0;
  double dropout = 0;
};

struct ArchitectureInfo {
  std::string name;
  std::vector<std::string> aliases;
  std::string family;     // for people, such as "Wide ResNet"
  int64_t width = 0;      // channels of the first stage; other widths scale every layer in proportion
  int64_t widthStep = 1;  // widths are multiples of it
  double dropout = 0;     // probability during training; 0 where the family has none
  bool hasDropout = false;
  int64_t classes = 0;          // of the data for which the network was published
  std::vector<int64_t> stages;  // channels at `width`
  TransformOptions transform;
};

// Every listed architecture. A family may know more of its kind than are listed (any wrn-D-K).
std::vector<ArchitectureInfo> architectures();

// By name or alias, in any case. Throws Error(config) for a member that its family cannot have (wrn-29-10).
std::optional<ArchitectureInfo> find_architecture(const std::string& name);

struct NetworkSize {
  int64_t parameters = 0;  // elements of trained parameters
  int64_t tensors = 0;     // of the state_dict
};

// Takes no memory for weights. Throws Error(config) as make_network does.
NetworkSize measure_network(const ArchOptions& arch);

}  // namespace mode_ensemble
