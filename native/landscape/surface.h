// Losses of networks at points of weight space; the fields of lib/native/contract-landscape.ts.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "models/registry.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct SurfaceSet {
  std::shared_ptr<const DataSet> data;
  int64_t images = 0;  // picked at random; 0: all
  std::string labels;  // own | prediction | random | uniform
};

// Of what running statistics are estimated at each point.
struct StatisticsOptions {
  std::shared_ptr<const DataSet> train;
  std::optional<AugmentOptions> augment;
  int64_t images = 0;  // picked at random; 0: all
  int64_t batchSize = 0;
};

struct SurfaceOptions {
  ArchOptions arch;
  std::vector<std::string> checkpoints;
  int64_t directions = 0;
  std::string directionsOutput;  // empty: they are not written
  int64_t seed = 0;
  std::vector<SurfaceSet> sets;
  TransformOptions transform;
  std::vector<double> coefficients;  // [points, checkpoints + directions], row by row
  std::vector<double> labelsAt;      // [checkpoints + directions]
  std::optional<StatisticsOptions> statistics;
  int64_t batchSize = 0;
  std::string precision;
  int64_t memory = 0;  // bytes that all held images may take
  bool frozen = true;
  int64_t threads = 0, workers = 0;
};

struct SurfaceResult {
  std::vector<int64_t> counts, skipped;  // of each set
  double seconds = 0;                    // of the points alone
};

// Reports each point when it is done, from any thread; points are begun in their order. The same numbers
// whatever the number of threads, as long as there are as many points.
SurfaceResult surface(const SurfaceOptions& options, JobContext& context);

struct WeightProductsOptions {
  ArchOptions arch;
  std::vector<std::string> checkpoints;
};

// Inner products of the checkpoints' trained parameters, row by row.
std::vector<double> weight_products(const WeightProductsOptions& options);

}  // namespace mode_ensemble
