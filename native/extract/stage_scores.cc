#include "extract/stage_scores.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// The mean over members of stage k: [B, C_k], float64, without a graph.
at::Tensor mean_of(const std::vector<at::Tensor>& members, int k) {
  const auto& first = members.front();
  auto sum = first.detach().to(at::kDouble);
  for (size_t m = 1; m < members.size(); ++m) {
    if (members[m].sizes() != first.sizes())
      throw Error(ErrorCode::config, "members: expected networks with stages of the same width, found " +
                                         std::to_string(first.size(1)) + " and " +
                                         std::to_string(members[m].size(1)) + " in stage " +
                                         std::to_string(k + 1) + ".");
    sum += members[m].detach();
  }
  return sum.div_(static_cast<double>(members.size()));
}

}  // namespace

at::Tensor sign_of(const at::Tensor& gradient) {
  return gradient.ge(0).to(gradient.scalar_type()).mul_(2).sub_(1);
}

StageScores::StageScores(const std::string& statistics, std::vector<double> magnitudes)
    : path_(statistics), magnitudes_(std::move(magnitudes)) {
  if (magnitudes_.empty()) throw Error(ErrorCode::config, "magnitudes: expected at least one, found none.");
  for (const double magnitude : magnitudes_)
    if (!(magnitude >= 0))
      throw Error(ErrorCode::config,
                  "magnitudes: expected numbers of at least 0, found " + std::to_string(magnitude) + ".");
  moves_ = std::any_of(magnitudes_.begin(), magnitudes_.end(), [](double value) { return value != 0; });
  gaussians_ = read_gaussians(statistics);
  for (int k = 1; k <= stage_count(); ++k) stages_.push_back(&gaussians_.stage("stage" + std::to_string(k)));
}

void StageScores::to_device(at::Device device) {
  for (auto& stage : gaussians_.stages)
    for (auto* tensor : {&stage.means, &stage.whitening, &stage.centre, &stage.white_means})
      *tensor = tensor->to(device);
}

void StageScores::require_stages(size_t found) const {
  if (static_cast<int>(found) == stage_count()) return;
  throw Error(ErrorCode::config, path_ + " has statistics of " + std::to_string(stage_count()) +
                                     " stages, but the network has " + std::to_string(found) + ".");
}

at::Tensor StageScores::score(const at::Tensor& x, const std::vector<std::vector<at::Tensor>>& features,
                              const Again& again) const {
  const auto members = features.size();
  const auto count = static_cast<int64_t>(magnitudes_.size());
  auto scores = at::empty({x.size(0), count, stage_count()}, x.options().dtype(at::kDouble));
  for (int k = 0; k < stage_count(); ++k) {
    std::vector<at::Tensor> own;
    for (const auto& member : features) own.push_back(member[static_cast<size_t>(k)]);
    const auto mean = mean_of(own, k);
    at::Tensor unmoved, sign;
    if (moves_) {
      // ½d² as a function of the mean is known, so the networks' backward passes begin with its gradient.
      const auto slope =
          gradient_of_closest(stage(k), mean).div_(static_cast<double>(members)).to(at::kFloat);
      at::Tensor gradient;
      for (const auto& feature : own) {
        const auto part = torch::autograd::grad({feature}, {x}, {slope}, /*retain_graph=*/true)[0];
        gradient = gradient.defined() ? gradient + part : part;
      }
      sign = sign_of(gradient);
    }
    for (int64_t i = 0; i < count; ++i) {
      const double magnitude = magnitudes_[static_cast<size_t>(i)];
      auto place = scores.select(2, k).select(1, i);
      if (magnitude == 0) {
        if (!unmoved.defined()) unmoved = closest_score(stage(k), mean);
        place.copy_(unmoved);
        continue;
      }
      const c10::NoGradGuard no_grad;
      const auto moved = at::sub(x, sign, magnitude);
      std::vector<at::Tensor> there;
      for (size_t m = 0; m < members; ++m) there.push_back(again(m, moved, k + 1));
      place.copy_(closest_score(stage(k), mean_of(there, k)));
    }
  }
  return scores;
}

void require_finite_scores(const at::Tensor& scores, const std::function<std::string(int64_t row)>& name_of) {
  if (at::isfinite(scores).all().item<bool>()) return;
  const auto bad = at::isfinite(scores).logical_not().nonzero().cpu();
  const auto at = bad.accessor<int64_t, 2>();
  throw Error(ErrorCode::numeric, "Mahalanobis distances of " + name_of(at[0][0]) + ", stage " +
                                      std::to_string(at[0][2] + 1) +
                                      ": expected finite numbers, found NaN or infinity.");
}

}  // namespace mode_ensemble
