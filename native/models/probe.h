// What a network gives, found out by passing an image through it.
#pragma once
#include <string>

#include "models/registry.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct ProbeOptions {
  ArchOptions arch;
  std::string checkpoint;
  int64_t size = 0;  // side of the image
};

struct ProbeResult {
  int64_t classes = 0;
  int64_t penultimate = 0;  // width of the feature, 0 where there is none
  int64_t stages = 0;
  double seconds = 0;  // that it took to open the checkpoint
};

ProbeResult probe(const ProbeOptions& options, JobContext& context);

}  // namespace mode_ensemble
