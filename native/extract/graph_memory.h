// How many images a pass may have at a time that keeps what is needed for gradients.
#pragma once
#include <cstdint>
#include <string>

#include "models/network.h"

namespace mode_ensemble {

// As many as keep the graph within about a gibibyte, at least 1; for images of `side` pixels. A batch of 256
// through a ResNet-50 at 224 pixels would take some 25 GiB.
int64_t most_images_with_graph(Network& network, int64_t side, const std::string& precision);

}  // namespace mode_ensemble
