// Takes away the part of a feature map that belongs to its largest singular value, as RankFeat does.
#pragma once
#include <ATen/ATen.h>

namespace mode_ensemble {

// Each image's map as a matrix [C, H·W], less σ₁·u₁·v₁ᵀ: [N, C, H, W] of any floating-point type → the same
// in float32, channels-last. A map of zeros stays as it is, and one with numbers that are not finite becomes
// NaN. Where σ₁ = σ₂ the vectors are not unique: any pair of the leading space is taken, as a singular value
// decomposition would.
at::Tensor without_rank1(const at::Tensor& map);

}  // namespace mode_ensemble
