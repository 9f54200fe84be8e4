// 3×3 convolutions of stride 1 and padding 1 by Winograd's minimal filtering, computed in float32,
// channels-last. Ours, since oneDNN no longer has it for x86.
#pragma once
#include <c10/core/Allocator.h>

#include <cstdint>

#include "linalg/winograd_kernels.h"

namespace mode_ensemble {

// The fastest of the instruction sets that LibTorch uses, or null.
const WinogradKernels* winograd_kernels();

class Winograd {
 public:
  // Whether this processor and these numbers of channels can be served.
  static bool serves(int64_t in, int64_t out);
  // weight [out, in, 3, 3], contiguous. It is transformed in float64 and rounded; four times its memory is
  // kept.
  Winograd(const float* weight, int64_t in, int64_t out, const WinogradKernels* kernels = winograd_kernels());

  // images [count, height, width, in] → out [count, height, width, out] plus bias [out], plus `add` (laid out
  // as `out`, or null), and relu; zero where `mask` (likewise) is not above zero. Images, `add`, `mask` and
  // `out` are float32 or all bfloat16. Runs on LibTorch's threads.
  struct Call {
    bool half = false;  // bfloat16
    const void* images = nullptr;
    int64_t count = 0, height = 0, width = 0;
    const float* bias = nullptr;
    const void* add = nullptr;
    bool relu = false;
    const void* mask = nullptr;
    void* out = nullptr;
    // Numbers from one pixel of the outputs to the next; 0: as many as there are outputs.
    int64_t step = 0;
    // Whether other threads run calls of their own meanwhile, so that this one has its core's cache alone.
    bool beside_others = false;
  };
  void run(const Call& call) const;

 private:
  int64_t in_, out_, panels_;
  const WinogradKernels* kernels_;
  at::DataPtr weight_memory_;
  float* weight_;  // [panels, 36, in, 32], channels beyond `out` zero
};

}  // namespace mode_ensemble
