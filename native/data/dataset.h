// An opened data set and how its images become network input: plain structs, without LibTorch's headers.
#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include "data/reader.h"

namespace mode_ensemble {

// As the handles of the boundary hold it.
struct DataSet {
  std::shared_ptr<const Reader> reader;
  bool skipBadImages = false;
};

struct TransformOptions {
  int64_t size = 0;
  std::array<double, 3> mean{}, std{};
};

struct AugmentOptions {
  int64_t cropPadding = 0;
  bool flip = false;
};

}  // namespace mode_ensemble
