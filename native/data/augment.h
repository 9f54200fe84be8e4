// The random part of preparing a training image. Every choice is a function of (seed, epoch, index) alone.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "data/transform.h"
#include "runtime/random.h"

namespace mode_ensemble {

struct AugmentOptions {
  // `none`: as for evaluation. `padded`: that, and then torchvision's RandomCrop(S, padding=cropPadding).
  // `resized`: torchvision's RandomResizedCrop(S, scale, ratio).
  std::string crop = "none";
  int64_t cropPadding = 0;
  std::array<double, 2> scale{0.08, 1};         // of the image's area that the box takes
  std::array<double, 2> ratio{3. / 4, 4. / 3};  // of the box's width to its height
  bool flip = false;
  double randAugment = 0;         // magnitude of the ops (data/rand_augment.h), 0 for none
  int64_t randAugmentOps = 2;     // drawn for an image
  double randAugmentNoise = 0.5;  // standard deviation of a magnitude
  double erasing = 0;             // probability that a box is erased (data/erase.h)
};

// The stream of an image's choices.
inline RandomStream augment_stream(uint64_t seed, uint64_t epoch, int64_t index) {
  return RandomStream(seed, "augment", epoch, static_cast<uint64_t>(index));
}

// The box of RandomResizedCrop, by torchvision's rule: ten tries at an area uniform in `scale` and a ratio
// uniform in its logarithm; then the largest box in the middle that keeps to `ratio`.
Region random_box(const AugmentOptions& augment, int width, int height, RandomStream& random);

// `framing`, an evaluation's or a box's, with the shift and the flip of a training image. Draws nothing that
// depends on the image.
Framing with_motion(Framing framing, const AugmentOptions& augment, RandomStream& random);

}  // namespace mode_ensemble
