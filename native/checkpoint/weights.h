// A network's weights to and from files.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "models/network.h"

namespace mode_ensemble {

// Safetensors: float32 and int64 as they are, in standard (row-major) layout; written whole or not at all.
void save_weights(const Network& network, const std::string& path,
                  const std::map<std::string, std::string>& metadata);

// For each of the network's weights the index of the checkpoint's tensor, or nothing for a batch counter
// (`num_batches_tracked`) that files of PyTorch before 0.4.1 do not have. Every other tensor must be there
// with its shape, and no further one; an Error(checkpoint) lists the first ten of each that are missing,
// unexpected or of another shape, and names the architecture that the file fits.
std::vector<std::optional<size_t>> match_weights(const Network& network, const Checkpoint& checkpoint);

// From any file that Checkpoint reads. Other floating-point types are turned into float32.
void load_weights(Network& network, const std::string& path);

// The listed architecture, at any width and number of classes, whose tensors are the checkpoint's.
std::optional<ArchOptions> identify(const Checkpoint& checkpoint);

// How many classes the last layer of such a network has in the checkpoint; 0 where that is not there.
int64_t classes_of(const ArchOptions& arch, const Checkpoint& checkpoint);

// The network of a checkpoint, ready to be evaluated.
std::unique_ptr<Network> open_network(const ArchOptions& arch, const std::string& checkpoint);

}  // namespace mode_ensemble
