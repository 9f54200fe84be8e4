// Prepared batches in memory: images that go through very many networks are decoded once.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tensor_loader.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct HoldOptions {
  std::shared_ptr<const DataSet> data;
  int64_t images = 0;  // how many are picked at random; 0: all
  uint64_t seed = 0;
  std::string_view stream;  // of the choice
  uint64_t number = 0;      // of the set, so that sets have choices of their own
  // The batch size is the largest one; batches have nearly the same size.
  LoaderOptions loader;
};

struct HeldImages {
  std::vector<Batch> batches;
  int64_t count = 0;    // images in them
  int64_t skipped = 0;  // that could not be decoded
};

// Bytes that the images will take.
int64_t bytes_to_hold(const HoldOptions& options);

// Throws Error(data) where none can be read.
HeldImages hold_images(const HoldOptions& options, ProgressMeter& meter, const JobContext& context);

// How many images it will be.
int64_t images_to_hold(const HoldOptions& options);

}  // namespace mode_ensemble
