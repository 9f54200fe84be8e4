// An opened data set and how its images become network input: plain structs, without LibTorch's headers.
#pragma once
#include <cstdint>
#include <memory>

#include "data/reader.h"
#include "data/transform.h"

namespace mode_ensemble {

// As the handles of the boundary hold it.
struct DataSet {
  std::shared_ptr<const Reader> reader;
  bool skipBadImages = false;
};

struct AugmentOptions {
  int64_t cropPadding = 0;
  bool flip = false;
};

}  // namespace mode_ensemble
