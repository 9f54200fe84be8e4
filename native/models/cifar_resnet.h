// ResNets for 32×32 images (3×3 stem, no max-pool), keys as in the paper's published checkpoints.
#pragma once
#include <array>
#include <memory>

#include "models/network.h"

namespace mode_ensemble {

// Basic blocks; `blocks` per layer, {2, 2, 2, 2} for ResNet-18.
std::unique_ptr<Network> make_cifar_resnet(const ArchOptions& arch, std::array<int, 4> blocks, uint64_t seed);

}  // namespace mode_ensemble
