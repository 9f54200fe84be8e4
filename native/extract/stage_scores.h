// Mahalanobis scores of every stage, of images as they are and after a step towards the closest class: the
// part that an extraction (one network, whose plain pass is at hand) and gaussian_pass.cc (several) have in
// common.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "linalg/gaussians.h"
#include "models/network.h"

namespace mode_ensemble {

// −1 or +1; sign(0) = +1 as in every detector that perturbs.
at::Tensor sign_of(const at::Tensor& gradient);

class StageScores {
 public:
  // `statistics`: a file of fit_gaussians. Throws Error(config) for magnitudes below 0 or none.
  StageScores(const std::string& statistics, std::vector<double> magnitudes);

  // Where the features are that will be scored.
  void to_device(at::Device device);
  int stage_count() const { return static_cast<int>(gaussians_.stages.size()); }
  // Whether images take steps at all, for which gradients are needed.
  bool moves() const { return moves_; }
  // Throws Error(config) where a network gave another number of stages.
  void require_stages(size_t found) const;

  // The average over space of one stage (from 1) of one member, for images that moved: [B, C_k].
  using Again = std::function<at::Tensor(size_t member, const at::Tensor& images, int stage)>;
  // x [B, 3, S, S]; features: those of each member and stage, [B, C_k], with a graph that begins with x where
  // images take steps. They are averaged over the members, and one gradient goes through all. → [B,
  // magnitudes, stages], float64.
  at::Tensor score(const at::Tensor& x, const std::vector<std::vector<at::Tensor>>& features,
                   const Again& again) const;

 private:
  const GaussianStage& stage(int k) const { return *stages_[static_cast<size_t>(k)]; }

  std::string path_;
  std::vector<double> magnitudes_;
  Gaussians gaussians_;
  std::vector<const GaussianStage*> stages_;
  bool moves_ = false;
};

// Throws Error(numeric), which names the image as name_of(row) has it, where a score is NaN or infinite.
void require_finite_scores(const at::Tensor& scores, const std::function<std::string(int64_t row)>& name_of);

}  // namespace mode_ensemble
