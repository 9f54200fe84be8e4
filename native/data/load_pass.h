// Passes over a set without a network: what the loader gives, how fast, and where its time goes.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct LoadPassOptions {
  std::shared_ptr<const DataSet> data;
  LoaderOptions loader;
  int64_t passes = 1;  // epochs, beginning with that of the loader's options
  bool hash = false;
};

struct LoadPassResult {
  int64_t count = 0;  // images that came out, of all passes
  int64_t skippedCount = 0;
  std::vector<BadImage> skipped;  // of the last pass, the first of them
  double seconds = 0;
  double waitSeconds = 0;  // that the consumer waited for a batch
  PrepareTimes times;      // of all workers together
  std::string sha256;      // of labels and pixels, batch by batch; '' where `hash` is off
};

LoadPassResult load_pass(const LoadPassOptions& options, JobContext& context);

// First four bytes of the SHA-256 of each image's [S, S, 3] pixels after the evaluation transform, in
// data-set order: for comparing with other programs.
std::vector<uint32_t> hash_pixels(std::shared_ptr<const DataSet> data, const TransformOptions& transform,
                                  int64_t workers, JobContext& context);

}  // namespace mode_ensemble
