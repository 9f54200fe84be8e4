// Averages over space and maxima over windows, channels-last: maps are [N, H, W, C], C a multiple of
// kPoolChannels; float32, or bfloat16 where `half` is set.
#pragma once
#include <cstdint>
#include <vector>

namespace mode_ensemble {

constexpr int64_t kPoolChannels = 16;

struct PoolMap {
  const void* at = nullptr;
  bool half = false;
  int64_t height = 0, width = 0, channels = 0;
};

struct PoolKernels {
  // The average over space of the images `first` to `last` → out [N, C] float32.
  void (*average)(const PoolMap& map, int64_t first, int64_t last, float* out);
  // Maxima of 3×3 with stride 2 and padding 1; rows `first` to `last` of the outputs, counted over images
  // → out [N, H', W', C] in the map's type.
  void (*maximum)(const PoolMap& map, int64_t first, int64_t last, void* out);
  const char* name;
};

// Pixels of the outputs of `maximum` along a side.
constexpr int64_t maxima_along(int64_t side) { return (side - 1) / 2 + 1; }

// Those that this processor runs, the fastest first; none without AVX2.
std::vector<const PoolKernels*> all_pool_kernels();

}  // namespace mode_ensemble
