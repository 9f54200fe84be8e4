#include "train/statistics.h"

#include <algorithm>

namespace mode_ensemble {

at::Tensor batch_sums(const at::Tensor& loss, const at::Tensor& logits, const at::Tensor& labels) {
  const c10::NoGradGuard guard;
  const auto scores = logits.detach();
  const auto first = scores.argmax(1).eq(labels).sum();
  const auto five = std::get<1>(scores.topk(std::min<int64_t>(5, scores.size(1)), 1));  // [N, 5]
  const auto among = five.eq(labels.unsqueeze(1)).sum();
  const auto sum = loss.detach().to(at::kDouble).mul(static_cast<double>(scores.size(0)));
  return at::stack({sum, first.to(at::kDouble), among.to(at::kDouble)});
}

void Statistics::add(const at::Tensor& batch, int64_t rows) {
  sums.add_(batch);
  images += rows;
}

Means Statistics::read() const {
  const auto at_hand = sums.cpu();
  const auto* sum = at_hand.const_data_ptr<double>();
  const auto count = static_cast<double>(images);
  return {sum[0] / count, 100.0 * sum[1] / count, 100.0 * sum[2] / count};
}

}  // namespace mode_ensemble
