// Trains one mode. Recipes: the reference code of Fang et al., IJCV 2024, for CIFAR-10 and ImageNet, and that
// of T2T-ViT's authors (lib/config/recipes.ts).
#pragma once
#include "runtime/context.h"
#include "train/options.h"

namespace mode_ensemble {

TrainResult train(const TrainOptions& options, JobContext& context);

struct InitWeightsOptions {
  ArchOptions arch;
  int64_t seed = 0;
  std::string output;
  std::map<std::string, std::string> metadata;
};

struct InitWeightsResult {
  int64_t tensors = 0;
  int64_t parameters = 0;
};

InitWeightsResult init_weights(const InitWeightsOptions& options, JobContext& context);

}  // namespace mode_ensemble
