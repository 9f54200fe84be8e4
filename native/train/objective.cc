#include "train/objective.h"

#include <algorithm>
#include <cmath>

#include "runtime/random.h"

namespace mode_ensemble {
namespace {

// In (0, 1).
double uniform(RandomStream& random) { return (static_cast<double>(random.next() >> 11) + 0.5) * 0x1p-53; }

double normal(RandomStream& random) {
  const double radius = std::sqrt(-2 * std::log(uniform(random)));
  return radius * std::cos(2 * M_PI * uniform(random));
}

// The logarithm of Gamma(shape, 1), which does not vanish for small shapes: Marsaglia and Tsang, ACM
// Transactions on Mathematical Software 26 (2000); a shape below 1 by Gamma(shape + 1) · U^(1/shape).
double log_gamma(RandomStream& random, double shape) {
  if (shape < 1) {
    const double above = log_gamma(random, shape + 1);
    return above + std::log(uniform(random)) / shape;
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal(random);
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log(uniform(random)) < 0.5 * x * x + d - d * v + d * std::log(v)) return std::log(d * v);
  }
}

// Beta(α, α) = A / (A + B) of two of Gamma(α, 1).
double beta(RandomStream& random, double alpha) {
  const double a = log_gamma(random, alpha), b = log_gamma(random, alpha);
  return 1 / (1 + std::exp(b - a));
}

// The images in the opposite order, which are what a batch is mixed with.
at::Tensor partners(const at::Tensor& images) { return images.flip(0); }

// images · share + partners · (1 − share); Zhang et al., arXiv 1710.09412.
double mix_whole(at::Tensor& images, RandomStream&, double share) {
  images = at::lerp(partners(images), images, share);
  return share;
}

// A box of the partners in place of the images' own, of 1 − share of the area where it lies inside; the share
// that is left is what counts. Yun et al., arXiv 1905.04899.
double mix_boxes(at::Tensor& images, RandomStream& random, double share) {
  const int64_t height = images.size(2), width = images.size(3);
  const double ratio = std::sqrt(1 - share);
  const auto part = [&](int64_t side) {
    const auto cut = static_cast<int64_t>(static_cast<double>(side) * ratio);
    const auto centre = static_cast<int64_t>(random.below(static_cast<uint32_t>(side)));
    const int64_t from = std::clamp<int64_t>(centre - cut / 2, 0, side);
    return std::pair{from, std::clamp<int64_t>(centre + cut / 2, 0, side) - from};
  };
  const auto [top, rows] = part(height);
  const auto [left, columns] = part(width);
  if (rows > 0 && columns > 0) {
    const auto others = partners(images);  // a copy, since images change
    images = images.clone();
    images.narrow(2, top, rows)
        .narrow(3, left, columns)
        .copy_(others.narrow(2, top, rows).narrow(3, left, columns));
  }
  return 1 - static_cast<double>(rows * columns) / static_cast<double>(height * width);
}

}  // namespace

Targets Objective::prepare(at::Tensor& images, const at::Tensor& labels, int64_t step) const {
  const bool has_mixup = options_.mixup > 0, has_cutmix = options_.cutmix > 0;
  if (!has_mixup && !has_cutmix) return {labels, {}};
  RandomStream random(seed_, "mix", static_cast<uint64_t>(step), rank_);
  if (uniform(random) >= options_.mixProbability) return {labels, {}};
  const bool boxes = has_cutmix && (!has_mixup || uniform(random) < options_.switchProbability);
  const double drawn = beta(random, boxes ? options_.cutmix : options_.mixup);
  const double share = boxes ? mix_boxes(images, random, drawn) : mix_whole(images, random, drawn);
  // Smoothed first, then mixed, which is the same as mixed first.
  const double off = options_.labelSmoothing / static_cast<double>(classes_);
  auto own = at::full({labels.size(0), classes_}, off, labels.options().dtype(at::kFloat));
  own.scatter_(1, labels.unsqueeze(1), 1 - options_.labelSmoothing + off);
  return {labels, at::lerp(own.flip(0), own, share)};
}

at::Tensor Objective::loss(const at::Tensor& logits, const Targets& targets) const {
  if (targets.shares.defined()) return at::cross_entropy_loss(logits, targets.shares);
  return at::cross_entropy_loss(logits, targets.labels, {}, at::Reduction::Mean, /*ignore_index=*/-100,
                                options_.labelSmoothing);
}

}  // namespace mode_ensemble
