// Batch norm in training together with what follows it, in the fewest passes over memory.
#pragma once
#include "models/layers.h"

namespace mode_ensemble {

// Whether train_norm serves x [N, C, H, W] and what is to be added: channels-last, on a CPU, float32 or
// bfloat16, with a multiple of 16 channels.
bool suits_train_norm(const BatchNorm& norm, const at::Tensor& x, const Then& then);

// at::batch_norm in training, plus `then.add`, then ReLU. Reads x twice and writes once; its backward pass
// reads x and the gradient twice. Running statistics move by the share `momentum`, as torch.nn.BatchNorm2d's
// do. Moments are summed in float32 over at most 64 rows and in float64 beyond; about a value near the mean,
// so that nothing cancels.
at::Tensor train_norm(const BatchNorm& norm, const at::Tensor& x, const Then& then, double momentum);

}  // namespace mode_ensemble
