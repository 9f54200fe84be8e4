// The memory of passes that keep what is needed for gradients.
#pragma once
#include <cstdint>
#include <string>

#include "models/network.h"

namespace mode_ensemble {

// As many as keep the graph within about a gibibyte, at least 1; for images of `side` pixels. A batch of 256
// through a ResNet-50 at 224 pixels would take some 25 GiB.
int64_t most_images_with_graph(Network& network, int64_t side, const std::string& precision);

// Bytes that a training step of one image keeps from its forward for its backward pass. What a step takes in
// all is more: the gradients, and what comes and goes between two operations.
int64_t bytes_for_backward(const ArchOptions& arch, int64_t side, const std::string& precision);

}  // namespace mode_ensemble
