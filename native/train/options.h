// What a training is told; the fields of lib/native/contract-train.ts.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "data/augment.h"
#include "data/dataset.h"
#include "models/registry.h"
#include "ranks/ranks.h"

namespace mode_ensemble {

struct OptimizerOptions {
  std::string name;  // sgd | adamw
  double weightDecay = 0;
  std::string decayOn;  // all | matrices
  double momentum = 0;
  bool nesterov = false;
  double beta1 = 0, beta2 = 0, epsilon = 0;
};

struct ScheduleOptions {
  std::string name;  // cosine | step
  double learningRate = 0;
  int64_t warmupEpochs = 0;
  double warmupRate = 0, minRate = 0;
  int64_t cooldownEpochs = 0, stepEpochs = 1;
  double stepFactor = 1;
};

struct ObjectiveOptions {
  double labelSmoothing = 0;
  double mixup = 0, cutmix = 0;  // the α of a Beta(α, α)
  double mixProbability = 0, switchProbability = 0;
};

struct SavingOptions {
  int64_t saveEpochs = 0;
  int64_t stateSteps = 0;
  double stateMinutes = 0;
  int64_t keepStates = 1;
  std::string folder;  // of epochs and states; empty: no state is written
};

struct TrainOptions {
  ArchOptions arch;
  int64_t seed = 0;
  std::shared_ptr<const DataSet> train, test;
  TransformOptions transform;
  AugmentOptions augment;
  std::string decode;       // exact | fast
  int64_t keepDecoded = 0;  // bytes, see LoaderOptions
  int64_t epochs = 0;
  int64_t batchSize = 0;  // of all ranks together
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  ObjectiveOptions objective;
  double dropPath = 0;  // see Network::set_drop_path
  double ema = 0;       // decay of the weights' running mean; 0 for none
  SavingOptions saving;
  int64_t reportSteps = 1;
  std::string device, precision;
  int64_t threads = 0, workers = 0;
  std::shared_ptr<Ranks> ranks = one_rank();
  std::string checkpoint;
  bool evaluate = false;  // the checkpoint is there, and is validated; nothing is trained
  std::string resume;     // a state to go on from; empty for none
  std::map<std::string, std::string> metadata;
};

struct TrainResult {
  double loss = 0;
  double accuracy = 0, top5 = 0;  // percent
  double testLoss = 0;
  double seconds = 0;
  double imagesPerSecond = 0;
};

}  // namespace mode_ensemble
