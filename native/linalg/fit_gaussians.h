// Class means and the shared covariance of stored features, for linalg/gaussians.h.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "runtime/context.h"

namespace mode_ensemble {

struct FitGaussiansOptions {
  std::vector<std::string> train;   // a feature file a member; the first one's labels count
  std::vector<std::string> stages;  // tensors [N, D_k]
  int64_t classes = 0;
  std::string output;
  std::map<std::string, std::string> metadata;
  int64_t threads = 0;
};

struct GaussianFit {
  std::string stage;
  int64_t width = 0;
  int64_t rank = 0;      // below `width` where the covariance is singular
  double condition = 0;  // largest by smallest eigenvalue of those that count; 0 where none does
};

struct FitGaussiansResult {
  std::vector<GaussianFit> stages;
};

FitGaussiansResult fit_gaussians(const FitGaussiansOptions& options, JobContext& context);

}  // namespace mode_ensemble
