// Exact k-nearest-neighbour distances over stored features. Source of the rule: Sun et al., ICML 2022 (kNN),
// fused over modes as Fang et al., IJCV 2024: the mean of the raw features, divided by (its L2 norm + 1e-10).
#pragma once
#include <string>
#include <vector>

#include "runtime/context.h"

namespace mode_ensemble {

struct NeighboursOptions {
  std::vector<std::string> bank;                  // a file a member
  std::vector<std::vector<std::string>> queries;  // for each set a file a member
  std::string tensor;
  int64_t k = 0;
  int64_t threads = 0;
  // MiB that the part of the bank may take which is in memory at a time, with its codes; queries come
  // besides.
  int64_t memory = 0;
};

struct NeighboursResult {
  std::vector<std::vector<float>> distances;  // squared L2 to the k-th nearest, per set and row
  // What it took: numbers in a row's sketch; pairs in all, those that the first comparison let through, and
  // those of which the distance was computed.
  int64_t width = 0, pairs = 0, passed = 0, computed = 0;
};

NeighboursResult neighbours(const NeighboursOptions& options, JobContext& context);

}  // namespace mode_ensemble
