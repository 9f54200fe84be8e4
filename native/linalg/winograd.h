// 3×3 convolutions of padding 1 by Winograd's minimal filtering, computed in float32, channels-last. Ours,
// since oneDNN no longer has it for x86.
#pragma once
#include <c10/core/Allocator.h>

#include <cstdint>

#include "linalg/winograd_kernels.h"

namespace mode_ensemble {

// The fastest of the instruction sets that LibTorch uses, or null.
const WinogradKernels* winograd_kernels();

// What a convolution does to the sides of its maps: stride 1; stride 2, h → (h + 1)/2; the gradient of the
// input of stride 2, (h + 1)/2 → h.
enum class Sides { keep, halve, redouble };

class Winograd {
 public:
  // Whether this processor and these numbers of channels can be served.
  static bool serves(int64_t in, int64_t out);
  // weight [out, in, 3, 3], contiguous; to redouble, the convolution's own with inputs and outputs exchanged.
  // It is transformed in float64 and rounded; four times its memory is kept.
  Winograd(const float* weight, int64_t in, int64_t out, Sides sides = Sides::keep,
           const WinogradKernels* kernels = winograd_kernels());

  // images [count, height, width, in] → out [count, H, W, out] plus bias [out], plus `add` (laid out
  // as `out`, or null), and relu; zero where `mask` (likewise) is not above zero. Images, `add`, `mask` and
  // `out` are float32 or all bfloat16. Runs on LibTorch's threads.
  struct Call {
    bool half = false;  // bfloat16
    const void* images = nullptr;
    int64_t count = 0, height = 0, width = 0;
    int64_t out_height = 0, out_width = 0;  // H and W, where sides are redoubled; else they follow
    const float* bias = nullptr;
    const void* add = nullptr;
    bool relu = false;
    const void* mask = nullptr;
    // Where sides are redoubled, added to the pixels at even places: [count, height, width, out], or null.
    const void* add_even = nullptr;
    void* out = nullptr;
    // Numbers from one pixel of the outputs to the next; 0: as many as there are outputs.
    int64_t step = 0;
    // Whether other threads run calls of their own meanwhile, so that this one has one thread alone.
    bool beside_others = false;
  };
  void run(const Call& call) const;

 private:
  struct Kind;
  static const Kind& kind_of(Sides sides);
  WinogradMap map_of(const Call& call) const;

  struct Work {
    const Call& call;
    WinogradMap map;
    int64_t points;
  };
  // Panels of outputs and tiles that are multiplied with each other; there is room for `most` tiles.
  struct Part {
    int64_t from, to, first, last, most;
  };
  // All tiles, `block` at a time, each block on one thread.
  void own(const Work& work, int64_t panels, int64_t block, int64_t tiles, int64_t threads) const;
  // All tiles, each block on all threads.
  void shared(const Work& work, int64_t tiles) const;
  void transform(const Work& work, int64_t begin, int64_t end, float* to, int64_t step) const;
  // `inputs`: the transformed ones of the part's first tile, `step` numbers from one point to the next.
  void multiply(const Work& work, const Part& part, const float* inputs, int64_t step, float* sums) const;

  int64_t in_, out_, panels_;
  Sides sides_;
  const Kind& kind_;
  const WinogradKernels* kernels_;
  at::DataPtr weight_memory_;
  float* weight_;  // [panels, 6 · 6, in, 32], channels beyond `out` zero
};

}  // namespace mode_ensemble
