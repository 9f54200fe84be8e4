// Proves on a GPU what its code promises: the parts that no other device has, each against the CPU.
#pragma once
#include <string>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct CheckDeviceOptions {
  std::string device;  // cuda:N
  // Of a training with padded crops, whose batches are prepared on both.
  std::shared_ptr<const DataSet> data;
  TransformOptions transform;
  AugmentOptions augment;
  int64_t batchSize = 0;
  int64_t threads = 0, workers = 0;
};

struct DeviceCheck {
  std::string name;
  bool passed = false;
  std::string found;  // a sentence
};

// Throws Error(device) where there is no such GPU; what fails on it is in the result.
std::vector<DeviceCheck> check_device(const CheckDeviceOptions& options, JobContext& context);

}  // namespace mode_ensemble
