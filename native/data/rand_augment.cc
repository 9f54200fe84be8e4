#include "data/rand_augment.h"

#include <algorithm>
#include <cmath>

#include "data/draws.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

double share(double magnitude) { return magnitude / kMostMagnitude; }

double either_sign(double value, RandomStream& random) { return even_chance(random) ? value : -value; }

double none(double, RandomStream&) { return 0; }

// 1 changes nothing. timm's bound of 0.1 is what the highest magnitude gives, but for rounding.
double enhancing(double magnitude, RandomStream& random) {
  return std::max(0.1, 1 + either_sign(share(magnitude) * 0.9, random));
}

double shearing(double magnitude, RandomStream& random) {
  return either_sign(share(magnitude) * 0.3, random);
}

// Of the picture's side.
double shifting(double magnitude, RandomStream& random) {
  return either_sign(share(magnitude) * 0.45, random);
}

// timm cuts the fractions of these off before it subtracts.
double bits(double magnitude, RandomStream&) { return 4 - std::floor(share(magnitude) * 4); }
double threshold(double magnitude, RandomStream&) { return 256 - std::floor(share(magnitude) * 256); }
double addition(double magnitude, RandomStream&) { return std::floor(share(magnitude) * 110); }

// timm's `inc` set: each op changes more as the magnitude rises.
constexpr AugmentOp kOps[] = {
    {"AutoContrast", none, [](OpCanvas& c, double, const Resampling&) { auto_contrast(c.image); }},
    {"Equalize", none, [](OpCanvas& c, double, const Resampling&) { equalize(c.image); }},
    {"Invert", none, [](OpCanvas& c, double, const Resampling&) { invert(c.image); }},
    {"Rotate", [](double m, RandomStream& random) { return either_sign(share(m) * 30, random); }, rotate},
    {"Posterize", bits,
     [](OpCanvas& c, double kept, const Resampling&) { posterize(c.image, static_cast<int>(kept)); }},
    {"Solarize", threshold,
     [](OpCanvas& c, double from, const Resampling&) { solarize(c.image, static_cast<int>(from)); }},
    {"SolarizeAdd", addition,
     [](OpCanvas& c, double add, const Resampling&) { solarize_add(c.image, static_cast<int>(add)); }},
    {"Color", enhancing, [](OpCanvas& c, double factor, const Resampling&) { saturate(c.image, factor); }},
    {"Contrast", enhancing,
     [](OpCanvas& c, double factor, const Resampling&) { change_contrast(c.image, factor); }},
    {"Brightness", enhancing,
     [](OpCanvas& c, double factor, const Resampling&) { brighten(c.image, factor); }},
    {"Sharpness", enhancing, [](OpCanvas& c, double factor, const Resampling&) { sharpen(c, factor); }},
    {"ShearX", shearing,
     [](OpCanvas& c, double by, const Resampling& how) { transform_affine(c, {1, by, 0, 0, 1, 0}, how); }},
    {"ShearY", shearing,
     [](OpCanvas& c, double by, const Resampling& how) { transform_affine(c, {1, 0, 0, by, 1, 0}, how); }},
    {"TranslateXRel", shifting,
     [](OpCanvas& c, double by, const Resampling& how) {
       transform_affine(c, {1, 0, by * c.image.width, 0, 1, 0}, how);
     }},
    {"TranslateYRel", shifting,
     [](OpCanvas& c, double by, const Resampling& how) {
       transform_affine(c, {1, 0, 0, 0, 1, by * c.image.height}, how);
     }},
};

}  // namespace

std::span<const AugmentOp> augment_ops() { return kOps; }

const AugmentOp& augment_op(const std::string& name) {
  for (const AugmentOp& op : kOps)
    if (name == op.name) return op;
  std::string names;
  for (const AugmentOp& op : kOps) names += (names.empty() ? "" : ", ") + std::string(op.name);
  throw Error(ErrorCode::config, "op: expected one of " + names + ", found " + name + ".");
}

DrawnOp draw_op(const AugmentOptions& augment, RandomStream& random) {
  DrawnOp drawn;
  drawn.op = &kOps[below(random, static_cast<int>(std::size(kOps)))];
  drawn.takes_place = even_chance(random);
  if (!drawn.takes_place) return drawn;
  const double noise = augment.randAugmentNoise > 0 ? augment.randAugmentNoise * Normals(random).next() : 0;
  drawn.magnitude = std::clamp(augment.randAugment + noise, 0.0, kMostMagnitude);
  drawn.parameter = drawn.op->parameter(drawn.magnitude, random);
  drawn.filter = even_chance(random) ? Filter::bicubic : Filter::bilinear;
  return drawn;
}

Rgb mean_color(const TransformOptions& transform) {
  Rgb color;
  for (size_t c = 0; c < 3; ++c)
    color[c] = static_cast<uint8_t>(std::clamp<int64_t>(std::llrint(255 * transform.mean[c]), 0, 255));
  return color;
}

void rand_augment(const AugmentOptions& augment, const Rgb& outside, RandomStream& random, OpCanvas& canvas) {
  for (int64_t i = 0; i < augment.randAugmentOps; ++i) {
    const DrawnOp drawn = draw_op(augment, random);
    if (drawn.takes_place) drawn.op->apply(canvas, drawn.parameter, {drawn.filter, outside});
  }
}

}  // namespace mode_ensemble
