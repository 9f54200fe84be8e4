// Class-conditional Gaussians with one shared covariance for each stage of the networks, and the Mahalanobis
// distance to the closest class. Source: Lee et al., NeurIPS 2018, arXiv 1807.03888; fused over modes as Fang
// et al., IJCV 2024: the mean over modes of the stages' pooled features, for the statistics and for the
// distances. All of it in float64.
#pragma once
#include <ATen/ATen.h>

#include <map>
#include <string>
#include <vector>

#include "runtime/context.h"

namespace mode_ensemble {

// One stage. The precision is P = WᵀW, so that d² = ‖W(f − μ)‖².
struct GaussianStage {
  std::string name;
  at::Tensor means;      // μ [C, D]
  at::Tensor whitening;  // W [r, D]; r < D where the covariance is singular
  // So that distances do not cancel: the mean of the class means, and W(μ_c − centre).
  at::Tensor centre;       // [D]
  at::Tensor white_means;  // [C, r]
};

struct Gaussians {
  std::vector<GaussianStage> stages;  // in the order in which they were fitted
  std::map<std::string, std::string> metadata;

  // Throws Error(data) that names the file where there is no such stage.
  const GaussianStage& stage(const std::string& name) const;
  std::string path;
};

// Written whole or not at all: `NAME.means` [C, D] and `NAME.whitening` [r, D] for each stage, float64.
void write_gaussians(const std::string& path, const std::vector<GaussianStage>& stages,
                     const std::map<std::string, std::string>& metadata);
// Checks everything that is used afterwards: names, types, shapes, finite numbers. Throws Error(data).
Gaussians read_gaussians(const std::string& path);

// `features` [N, D]: pooled, float32 or float64, of a mode, or the mean over modes. No gradient is recorded
// in either function, and none is needed: since ∇_f ½d² is known, a network's own backward pass starts with
// it (stage.backward(gradient), divided by the number of modes where the features are a mean).

// −½ d² to the closest class: [N], float64.
at::Tensor closest_score(const GaussianStage& stage, const at::Tensor& features);
// ∇_f ½d² = P(f − μ_ĉ) of the closest class ĉ: [N, D], of the features' type.
at::Tensor gradient_of_closest(const GaussianStage& stage, const at::Tensor& features);

struct GaussianScoresOptions {
  std::string statistics;
  std::vector<std::vector<std::string>> sets;  // for each set a file a member
  std::vector<std::string> stages;
  int64_t threads = 0;
};

struct GaussianScoresResult {
  std::vector<std::vector<double>> scores;  // for each set closest_score, row-major [N, stages]
};

GaussianScoresResult gaussian_scores(const GaussianScoresOptions& options, JobContext& context);

}  // namespace mode_ensemble
