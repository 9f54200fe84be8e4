// Trains one mode. The recipe is that of the reference code of Fang et al., IJCV 2024 (CIFAR-10): SGD with
// momentum and weight decay on all parameters, cosine annealing stepped once an epoch down to 0, random crop
// and flip.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "data/augment.h"
#include "data/dataset.h"
#include "models/registry.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct TrainOptions {
  ArchOptions arch;
  int64_t seed = 0;
  std::shared_ptr<const DataSet> train, test;
  TransformOptions transform;
  AugmentOptions augment;
  std::string decode;       // exact | fast
  int64_t keepDecoded = 0;  // bytes, see LoaderOptions
  int64_t epochs = 0;
  int64_t batchSize = 0;
  double learningRate = 0, momentum = 0, weightDecay = 0;
  bool nesterov = false;
  std::string precision;
  int64_t threads = 0, workers = 0;
  std::string checkpoint;
  std::map<std::string, std::string> metadata;
};

struct TrainResult {
  double loss = 0;
  double accuracy = 0;  // percent
  double seconds = 0;
  double imagesPerSecond = 0;
};

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
