// What a training refuses before it begins.
#pragma once
#include "runtime/compute.h"
#include "train/options.h"

namespace mode_ensemble {

// Throws Error(config) for settings that do not go together, Error(data) for labels that are no class.
void check_training(const TrainOptions& options);

// Throws Error(data) for a label that is none of so many classes.
void check_labels(const Reader& reader, int64_t classes);

// Throws Error(memory) where a batch takes more than there is.
void check_memory(const TrainOptions& options, const Compute& compute);

}  // namespace mode_ensemble
