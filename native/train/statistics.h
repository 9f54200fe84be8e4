// Sums over images, kept where the network computes: nothing waits for them until they are read.
#pragma once
#include <ATen/ATen.h>

#include "ranks/ranks.h"

namespace mode_ensemble {

struct Means {
  double loss = 0;
  double top1 = 0, top5 = 0;  // percent
};

// Of one batch: [loss × rows, right, right in five], float64. loss: the mean over the batch; logits [N, C];
// labels [N]. With fewer than five classes all of them are the five.
at::Tensor batch_sums(const at::Tensor& loss, const at::Tensor& logits, const at::Tensor& labels);

struct Statistics {
  at::Tensor sums = at::zeros({3}, at::kDouble);
  int64_t images = 0;

  void add(const at::Tensor& batch, int64_t rows);
  // All that the ranks have goes to rank 0; the others have nothing left.
  void gather(Ranks& ranks);
  Means read() const;  // waits for what computes; of at least one image
};

}  // namespace mode_ensemble
