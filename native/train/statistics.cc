#include "train/statistics.h"

#include <algorithm>
#include <array>

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
  if (sums.device() != batch.device()) sums = sums.to(batch.device());
  sums.add_(batch);
  images += rows;
}

void Statistics::gather(Ranks& ranks) {
  if (ranks.size() == 1) return;
  std::array<double, 4> all{};
  const auto at_hand = sums.cpu();
  std::copy_n(at_hand.const_data_ptr<double>(), 3, all.begin());
  all[3] = static_cast<double>(images);
  ranks.sum(all.data(), 4);
  const bool keeps = ranks.rank() == 0;
  sums.copy_(keeps ? at::tensor({all[0], all[1], all[2]}, at::kDouble) : at::zeros({3}, at::kDouble));
  images = keeps ? static_cast<int64_t>(all[3]) : 0;
}

Means Statistics::read() const {
  const auto at_hand = sums.cpu();
  const auto* sum = at_hand.const_data_ptr<double>();
  const auto count = static_cast<double>(images);
  return {sum[0] / count, 100.0 * sum[1] / count, 100.0 * sum[2] / count};
}

}  // namespace mode_ensemble
