// Running statistics of normalisation, estimated anew: those of a network between others are not between
// theirs.
#pragma once
#include "landscape/held_images.h"
#include "models/network.h"

namespace mode_ensemble {

// Whether there is anything to estimate.
bool has_running_statistics(const Network& network);

// Each becomes the mean over the batches, weighted by their images: the rule of Garipov et al., NeurIPS 2018
// (arXiv 1802.10026), whose code passes the training data once in training mode. Dropout draws from `seed`.
void estimate_statistics(Network& network, const HeldImages& images, const std::string& precision,
                         uint64_t seed, const JobContext& context);

}  // namespace mode_ensemble
