// What a network makes of a few given inputs, tensor by tensor: how its passes are compared with Python's.
#pragma once
#include <string>
#include <vector>

#include "models/registry.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct TraceOptions {
  ArchOptions arch;
  std::string checkpoint;  // '' for the initial weights of `seed`
  int64_t seed = 0;
  std::string input;      // safetensors: `images` [N, 3, H, W] float32, normalised, and `labels` [N] int64
  std::string output;     // safetensors, see trace()
  std::string precision;  // `float32`, or `float64` for comparisons that rounding must not disturb
  int64_t threads = 0;
};

struct TraceResult {
  int64_t tensors = 0, parameters = 0;       // of the network; parameters in elements
  std::vector<std::string> withoutGradient;  // names of trained parameters that the loss does not reach
};

// Writes `logits` [N, C], `penultimate` [N, D], `stage1` … (whole maps), `head_map` and `head_vector` [N, C]
// (the head applied to the last stage's map and to the penultimate feature), `last_layer` [C, D] and
// `input_gradient` [N, 3, H, W] (of the mean cross-entropy), all float32, in evaluation mode.
TraceResult trace(const TraceOptions& options, JobContext& context);

}  // namespace mode_ensemble
