// RandAugment (Cubuk et al., arXiv 1909.13719) as timm has it with `rand-m9-mstd0.5-inc1`: some ops, drawn
// from fifteen with replacement, each of which takes place with probability ½ and at a magnitude of its own.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "data/augment.h"
#include "data/pixel_ops.h"
#include "runtime/random.h"

namespace mode_ensemble {

// What a drawn magnitude is kept to.
inline constexpr double kMostMagnitude = 10;

struct AugmentOp {
  const char* name;
  // Of a magnitude: the op's parameter in Pillow's terms. Draws the sign of what goes in two directions.
  double (*parameter)(double magnitude, RandomStream& random);
  void (*apply)(OpCanvas& canvas, double parameter, const Resampling& how);
};

// In timm's order.
std::span<const AugmentOp> augment_ops();
// Throws Error(config) for a name that is not in the table.
const AugmentOp& augment_op(const std::string& name);

struct DrawnOp {
  const AugmentOp* op = nullptr;
  bool takes_place = false;  // where it does not, what follows is not drawn
  double magnitude = 0;
  double parameter = 0;
  Filter filter = Filter::bilinear;
};

// Draws nothing that depends on the image.
DrawnOp draw_op(const AugmentOptions& augment, RandomStream& random);

// The stream of the ops of an image.
inline RandomStream rand_augment_stream(uint64_t seed, uint64_t epoch, int64_t index) {
  return RandomStream(seed, "randaugment", epoch, static_cast<uint64_t>(index));
}

// What an op puts where there is no picture: the color that becomes 0 when it is normalised.
Rgb mean_color(const TransformOptions& transform);

void rand_augment(const AugmentOptions& augment, const Rgb& outside, RandomStream& random, OpCanvas& canvas);

}  // namespace mode_ensemble
