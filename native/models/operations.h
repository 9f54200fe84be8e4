// How much arithmetic a network is.
#pragma once
#include <cstdint>

#include "models/registry.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct CountOperationsOptions {
  ArchOptions arch;
  int64_t size = 0;  // side of the image
};

// Multiply-adds of one image's forward pass: those of the convolutions and matrix products that the plain
// network asks LibTorch for, counted from their shapes as they are run. What is computed in fewer
// (Winograd's filtering) counts the same.
int64_t count_operations(const CountOperationsOptions& options, JobContext& context);

}  // namespace mode_ensemble
