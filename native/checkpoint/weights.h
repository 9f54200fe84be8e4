// A network's weights to and from a safetensors file.
#pragma once
#include <map>
#include <string>

#include "models/network.h"

namespace mode_ensemble {

// Float32 and int64 as they are, in standard (row-major) layout; written whole or not at all.
void save_weights(const Network& network, const std::string& path,
                  const std::map<std::string, std::string>& metadata);

// Every tensor must be there with its shape; an Error(checkpoint) lists the first ten of each that are
// missing, unexpected or of another shape.
void load_weights(Network& network, const std::string& path);

// The network of a checkpoint, ready to be evaluated.
std::unique_ptr<Network> open_network(const ArchOptions& arch, const std::string& checkpoint);

}  // namespace mode_ensemble
