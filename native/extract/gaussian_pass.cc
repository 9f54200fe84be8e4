#include "extract/gaussian_pass.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "checkpoint/weights.h"
#include "data/part_reader.h"
#include "data/tensor_loader.h"
#include "extract/feature_file.h"
#include "extract/graph_memory.h"
#include "linalg/gaussians.h"
#include "models/layers.h"
#include "runtime/device.h"
#include "runtime/memory.h"

namespace mode_ensemble {
namespace {

// −1 or +1; sign(0) = +1 as in every detector that perturbs.
at::Tensor sign_of(const at::Tensor& gradient) {
  return gradient.ge(0).to(gradient.scalar_type()).mul_(2).sub_(1);
}

at::Tensor per_channel(const std::array<double, 3>& values) {
  return at::tensor({values[0], values[1], values[2]}, at::kFloat).view({1, 3, 1, 1});
}

using Clamp = at::Tensor (*)(const at::Tensor& images, const TransformOptions& transform);

at::Tensor clamp_nothing(const at::Tensor& images, const TransformOptions&) { return images; }
at::Tensor clamp_normalized(const at::Tensor& images, const TransformOptions&) { return images.clamp(0, 1); }
// To what pixels from 0 to 1 become when they are normalised.
at::Tensor clamp_pixels(const at::Tensor& images, const TransformOptions& transform) {
  const auto mean = per_channel(transform.mean), std = per_channel(transform.std);
  return images.clamp((0 - mean) / std, (1 - mean) / std);
}

struct ClampRow {
  std::string_view name;
  Clamp clamp;
};
constexpr std::array<ClampRow, 3> kClamps{
    {{"pixels", clamp_pixels}, {"normalized", clamp_normalized}, {"none", clamp_nothing}}};

Clamp find_clamp(const std::string& name) {
  for (const auto& row : kClamps)
    if (row.name == name) return row.clamp;
  throw Error(ErrorCode::config,
              "adversarial.clamp: expected pixels, normalized or none, found \"" + name + "\".");
}

class Scorer {
 public:
  Scorer(const PerturbedGaussiansOptions& options, JobContext& context)
      : options_(options), context_(context), gaussians_(read_gaussians(options.statistics)) {
    for (const double magnitude : options.magnitudes) moves_ |= magnitude != 0;
    if (options.adversarial) clamp_ = find_clamp(options.adversarial->clamp);
    for (const auto& member : options.members) {
      context.throw_if_aborted();
      networks_.push_back(open_network(member.arch, member.checkpoint));
      networks_.back()->freeze({options.precision, moves_ || clamp_ != nullptr});
    }
    for (int k = 1; k <= stage_count(); ++k)
      stages_.push_back(&gaussians_.stage("stage" + std::to_string(k)));
  }

  int stage_count() const { return static_cast<int>(gaussians_.stages.size()); }

  // How many images go through the networks at once, so that the graphs of all members together stay bounded.
  int64_t images_at_once() {
    if (!moves_ && !clamp_) return options_.batchSize;
    double share = 0;  // of the bound, of one image
    for (auto& network : networks_)
      share += 1.0 / static_cast<double>(
                         most_images_with_graph(*network, options_.transform.crop, options_.precision));
    return std::max<int64_t>(1, static_cast<int64_t>(1 / share));
  }

  // images [B, 3, S, S], labels [B] → [B, magnitudes, stages], float64.
  at::Tensor score(const at::Tensor& images, const at::Tensor& labels) {
    const auto x = clamp_ ? adversarial_copies(images, labels) : images;
    const auto count = static_cast<int64_t>(options_.magnitudes.size());
    auto scores = at::empty({x.size(0), count, stage_count()}, at::kDouble);
    const auto signs = score_unmoved(x, scores);
    for (int k = 0; k < stage_count() && moves_; ++k)
      for (int64_t i = 0; i < count; ++i) {
        const double magnitude = options_.magnitudes[static_cast<size_t>(i)];
        if (magnitude == 0) continue;
        const auto moved = at::sub(x, signs[static_cast<size_t>(k)], magnitude);
        std::vector<std::vector<at::Tensor>> features;
        for (auto& network : networks_) features.push_back(pooled(*network, moved, k + 1));
        scores.select(2, k).select(1, i).copy_(closest_score(stage(k), fused(features, 0, k)));
      }
    return scores;
  }

 private:
  const GaussianStage& stage(int k) const { return *stages_[static_cast<size_t>(k)]; }

  // The averages over space of a member's stages: [B, C_k] each; all that are scored, or that of stage
  // `until` alone, with which the pass then ends.
  std::vector<at::Tensor> pooled(Network& network, const at::Tensor& images, int until) {
    context_.throw_if_aborted();
    ForwardResult result;
    {
      const Autocast autocast(options_.precision);
      const int last = until == 0 ? stage_count() : until;
      result = network.forward(images, /*training=*/false, {.stages = true, .until = last});
      if (static_cast<int>(result.stages.size()) != last)
        throw Error(ErrorCode::config, options_.statistics + " has statistics of " +
                                           std::to_string(stage_count()) + " stages, but the network has " +
                                           std::to_string(result.stages.size()) + ".");
    }
    std::vector<at::Tensor> features;
    for (size_t k = until == 0 ? 0 : result.stages.size() - 1; k < result.stages.size(); ++k)
      features.push_back(global_average(result.stages[k]));
    return features;
  }

  // The mean over members of their features at place `at`, which are those of stage k: [B, C_k], float64,
  // without a graph.
  at::Tensor fused(const std::vector<std::vector<at::Tensor>>& features, int at, int k) const {
    const auto& first = features.front()[static_cast<size_t>(at)];
    auto sum = first.detach().to(at::kDouble);
    for (size_t m = 1; m < features.size(); ++m) {
      const auto& other = features[m][static_cast<size_t>(at)];
      if (other.sizes() != first.sizes())
        throw Error(ErrorCode::config, "members: expected networks with stages of the same width, found " +
                                           std::to_string(first.size(1)) + " and " +
                                           std::to_string(other.size(1)) + " in stage " +
                                           std::to_string(k + 1) + ".");
      sum += other.detach();
    }
    return sum.div_(static_cast<double>(features.size()));
  }

  // Scores of the images as they are, where magnitude 0 is asked for; the gradient's sign for each stage
  // where another one is.
  std::vector<at::Tensor> score_unmoved(const at::Tensor& images, at::Tensor& scores) {
    const c10::AutoGradMode gradients(moves_);
    const auto x = moves_ ? images.clone().requires_grad_(true) : images;
    std::vector<std::vector<at::Tensor>> features;
    for (auto& network : networks_) features.push_back(pooled(*network, x, 0));
    std::vector<at::Tensor> signs;
    for (int k = 0; k < stage_count(); ++k) {
      const auto mean = fused(features, k, k);
      const auto unmoved = closest_score(stage(k), mean);
      for (size_t i = 0; i < options_.magnitudes.size(); ++i)
        if (options_.magnitudes[i] == 0)
          scores.select(2, k).select(1, static_cast<int64_t>(i)).copy_(unmoved);
      if (!moves_) continue;
      // ½d² as a function of the mean is known, so the networks' backward passes begin with its gradient.
      const auto gradient =
          gradient_of_closest(stage(k), mean).div_(static_cast<double>(features.size())).to(at::kFloat);
      const bool again = k + 1 < stage_count();
      for (const auto& member : features) {
        context_.throw_if_aborted();
        member[static_cast<size_t>(k)].backward(gradient, /*retain_graph=*/again);
      }
      signs.push_back(sign_of(x.grad()));
      x.mutable_grad() = at::Tensor();
    }
    return signs;
  }

  at::Tensor adversarial_copies(const at::Tensor& images, const at::Tensor& labels) {
    const auto x = images.clone().requires_grad_(true);
    for (auto& network : networks_) {
      context_.throw_if_aborted();
      const c10::AutoGradMode gradients(true);
      at::Tensor logits;
      {
        const Autocast autocast(options_.precision);
        logits = network->forward(x, /*training=*/false, {}).logits;
      }
      require_labels(labels, logits.size(1));
      // The sum over images, whose gradients are then independent of each other; a division by the number
      // of members would not change the sign.
      at::cross_entropy_loss(logits.to(at::kFloat), labels, {}, at::Reduction::Sum).backward();
    }
    return clamp_(at::add(images, sign_of(x.grad()), options_.adversarial->step), options_.transform);
  }

  static void require_labels(const at::Tensor& labels, int64_t classes) {
    const auto* label = labels.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < labels.size(0); ++i)
      if (label[i] < 0 || label[i] >= classes)
        throw Error(ErrorCode::data, "Adversarial copies need the images' labels: expected 0 to " +
                                         std::to_string(classes - 1) + ", found " + std::to_string(label[i]) +
                                         ".");
  }

  const PerturbedGaussiansOptions& options_;
  JobContext& context_;
  Gaussians gaussians_;
  std::vector<const GaussianStage*> stages_;
  std::vector<std::unique_ptr<Network>> networks_;
  Clamp clamp_ = nullptr;
  bool moves_ = false;
};

std::shared_ptr<const DataSet> part_of(const PerturbedGaussiansOptions& options) {
  const auto& whole = options.data;
  const int64_t size = whole->reader->size(), first = options.first;
  const int64_t count = options.count == 0 ? size - first : options.count;
  if (first < 0 || count < 1 || first > size - count)
    throw Error(ErrorCode::config, "first, count: expected images of the " + std::to_string(size) +
                                       " that the set has, found " + std::to_string(first) + " and " +
                                       std::to_string(count) + ".");
  auto part = std::make_shared<DataSet>();
  part->reader = std::make_shared<PartReader>(whole->reader, first, count);
  part->skipBadImages = whole->skipBadImages;
  return part;
}

void check(const PerturbedGaussiansOptions& options) {
  const auto fail = [](const std::string& message) { throw Error(ErrorCode::config, message); };
  if (options.batchSize < 1)
    fail("batchSize: expected at least 1, found " + std::to_string(options.batchSize) + ".");
  if (options.members.empty()) fail("members: expected at least one, found none.");
  if (options.magnitudes.empty()) fail("magnitudes: expected at least one, found none.");
  for (const double magnitude : options.magnitudes)
    if (!(magnitude >= 0))
      fail("magnitudes: expected numbers of at least 0, found " + std::to_string(magnitude) + ".");
}

void require_finite(const at::Tensor& scores, int64_t first) {
  if (at::isfinite(scores).all().item<bool>()) return;
  const auto bad = at::isfinite(scores).logical_not().nonzero();
  const auto at = bad.accessor<int64_t, 2>();
  throw Error(ErrorCode::numeric, "Mahalanobis distances of image " + std::to_string(first + at[0][0]) +
                                      ", stage " + std::to_string(at[0][2] + 1) +
                                      ": expected finite numbers, found NaN or infinity.");
}

}  // namespace

PerturbedGaussiansResult perturbed_gaussians(const PerturbedGaussiansOptions& options, JobContext& context) {
  check(options);
  use_threads(options.threads);
  const MemoryReuse reuse;
  const c10::NoGradGuard no_grad;
  const auto start = std::chrono::steady_clock::now();
  const auto data = part_of(options);
  Scorer scorer(options, context);
  LoaderOptions settings;
  settings.prepare.transform = options.transform;
  // Steps are far below the resolution of bfloat16 pixels.
  settings.prepare.type = PixelType::float32;
  settings.batchSize = std::min(options.batchSize, scorer.images_at_once());
  settings.workers = options.workers;
  TensorLoader loader(data, settings);
  const auto magnitudes = static_cast<int64_t>(options.magnitudes.size());
  FeatureFile file(options.output,
                   {{"labels", "I64", {}}, {"scores", "F64", {magnitudes, scorer.stage_count()}}},
                   data->reader->size(), options.metadata);
  ProgressMeter meter(context, "perturb", data->reader->size());
  PerturbedGaussiansResult result;
  Batch batch;
  while (loader.next(batch)) {
    const int64_t rows = batch.images.size(0);
    if (rows > 0) {
      const auto scores = scorer.score(batch.images, batch.labels);
      require_finite(scores, options.first + result.count);
      file.append({batch.labels, scores});
      result.count += rows;
    }
    meter.add(batch.read);
  }
  if (result.count == 0) throw Error(ErrorCode::data, "No image of the set could be read.");
  context.throw_if_aborted();
  file.commit();
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace mode_ensemble
