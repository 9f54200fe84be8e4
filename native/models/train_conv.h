// Convolutions of a training step that Winograd's filtering makes cheaper.
#pragma once
#include <ATen/ATen.h>

namespace mode_ensemble {

// Whether x [N, C, H, W] and this trained 3×3 weight [out, C, 3, 3], of stride 1 and padding 1, are better
// off: float32 outside of autocast, on a CPU.
bool suits_train_conv(const at::Tensor& x, const at::Tensor& weight);

// The convolution, and for the backward pass the gradient of x by the same filtering; that of the weight is
// LibTorch's.
// The bias may be undefined.
at::Tensor train_conv(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace mode_ensemble
