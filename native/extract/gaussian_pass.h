// Mahalanobis scores of perturbed images: for each stage of the networks the image takes a step towards the
// closest class, x − magnitude·sign(∇_x ½d²), and is scored by that stage again. Source: Lee et al., NeurIPS
// 2018, arXiv 1807.03888; fused as Fang et al., IJCV 2024: the stages' features are means over the members,
// so that one gradient goes through all of them.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "models/registry.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct GaussianMember {
  ArchOptions arch;
  std::string checkpoint;
};

// The images are first replaced by their adversarial copies: one step up the mean of the members'
// cross-entropies with the true labels.
struct Adversarial {
  double step = 0;    // in normalised pixels
  std::string clamp;  // pixels | normalized | none
};

struct PerturbedGaussiansOptions {
  std::vector<GaussianMember> members;
  std::string statistics;  // what fit_gaussians wrote
  std::shared_ptr<const DataSet> data;
  TransformOptions transform;
  int64_t first = 0, count = 0;  // which images; count 0: all from `first` on
  std::vector<double> magnitudes;
  std::optional<Adversarial> adversarial;
  int64_t batchSize = 0;
  std::string device, precision;
  int64_t threads = 0, workers = 0;
  std::string output;  // safetensors: `scores` [N, magnitudes, stages], float64; `labels` [N]
  std::map<std::string, std::string> metadata;
};

struct PerturbedGaussiansResult {
  int64_t count = 0;  // rows in the file
  double seconds = 0;
};

PerturbedGaussiansResult perturbed_gaussians(const PerturbedGaussiansOptions& options, JobContext& context);

}  // namespace mode_ensemble
