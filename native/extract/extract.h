// The one pass: each image is decoded once and goes through each member once; what the detectors need is
// written to the members' feature files.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"
#include "models/registry.h"
#include "runtime/context.h"

namespace mode_ensemble {

// What is made of an image; see the table in passes.cc.
struct PassOptions {
  std::string kind;
  double temperature = 0, magnitude = 0;  // of `perturbed`
  std::string gradient;                   // of `perturbed`
};

struct ExtractOutput {
  PassOptions pass;
  std::string path;
  std::string storage;  // of features: float32 or float16
  std::map<std::string, std::string> metadata;
};

// Mahalanobis scores of the member alone, as perturbed_gaussians writes them.
struct StageScoresOutput {
  std::string statistics;  // what fit_gaussians wrote
  std::vector<double> magnitudes;
  std::string path;
  std::map<std::string, std::string> metadata;
};

struct ExtractMember {
  ArchOptions arch;
  std::string checkpoint;
  std::vector<ExtractOutput> outputs;
  std::vector<StageScoresOutput> stageScores;
};

struct ExtractOptions {
  std::vector<ExtractMember> members;
  std::shared_ptr<const DataSet> data;
  TransformOptions transform;
  int64_t batchSize = 0;
  std::string device, precision;
  int64_t threads = 0, workers = 0;
};

struct ExtractResult {
  int64_t count = 0;
  std::vector<BadImage> skipped;  // the first hundred
  int64_t skippedCount = 0;
  double seconds = 0;
};

ExtractResult extract(const ExtractOptions& options, JobContext& context);

}  // namespace mode_ensemble
