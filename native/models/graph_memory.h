// The memory of passes that keep what is needed for gradients.
#pragma once
#include <cstdint>
#include <string>

#include "models/network.h"

namespace mode_ensemble {

// As many as keep the graph within about 512 MiB, on a GPU within a quarter of what is free there, at
// least 1; for images of `side` pixels. A batch of 256 through a ResNet-50 at 224 pixels would take some
// 25 GiB. The network is on the device already.
int64_t most_images_with_graph(Network& network, int64_t side, const Compute& compute);

// Bytes that a training step of one image keeps from its forward for its backward pass. What a step takes in
// all is more: the gradients, and what comes and goes between two operations. Found out on the CPU.
int64_t bytes_for_backward(const ArchOptions& arch, int64_t side, at::ScalarType type);

}  // namespace mode_ensemble
