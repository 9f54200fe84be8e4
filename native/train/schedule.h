// The learning rate along a training.
#pragma once
#include "train/options.h"

namespace mode_ensemble {

// Of `epoch`, from 0. cosine: torch's CosineAnnealingLR with T_max = epochs − cooldown and eta_min = minRate,
// in closed form, and minRate after it; step: torch's StepLR. The first warmupEpochs lie on a line from
// warmupRate to learningRate instead; as in timm, the cosine goes on from where it is then. Throws
// Error(config) for a name that is not known.
double learning_rate(const ScheduleOptions& schedule, int64_t epoch, int64_t epochs);

}  // namespace mode_ensemble
