#include "extract/gaussian_pass.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "cuda/feed.h"
#include "data/part_reader.h"
#include "data/tensor_loader.h"
#include "extract/feature_file.h"
#include "extract/ready_networks.h"
#include "extract/stage_scores.h"
#include "models/layers.h"
#include "runtime/compute.h"
#include "runtime/device.h"
#include "runtime/memory.h"

namespace mode_ensemble {
namespace {

at::Tensor per_channel(const std::array<double, 3>& values) {
  return at::tensor({values[0], values[1], values[2]}, at::kFloat).view({1, 3, 1, 1});
}

using Clamp = at::Tensor (*)(const at::Tensor& images, const TransformOptions& transform);

at::Tensor clamp_nothing(const at::Tensor& images, const TransformOptions&) { return images; }
at::Tensor clamp_normalized(const at::Tensor& images, const TransformOptions&) { return images.clamp(0, 1); }
// To what pixels from 0 to 1 become when they are normalised.
at::Tensor clamp_pixels(const at::Tensor& images, const TransformOptions& transform) {
  const auto mean = per_channel(transform.mean).to(images.device());
  const auto std = per_channel(transform.std).to(images.device());
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
  Scorer(const PerturbedGaussiansOptions& options, const Compute& compute, JobContext& context)
      : options_(options),
        compute_(compute),
        context_(context),
        stages_(options.statistics, options.magnitudes),
        clamp_(options.adversarial ? find_clamp(options.adversarial->clamp) : nullptr),
        networks_(wanted(), compute, context) {
    stages_.to_device(compute.device);
  }

  int stage_count() const { return stages_.stage_count(); }

  // How many images go through the networks at once, so that the graphs of all members together stay bounded.
  int64_t images_at_once() {
    if (!with_gradients()) return options_.batchSize;
    double share = 0;  // of the bound, of one image
    for (size_t i = 0; i < networks_.size(); ++i)
      share += 1.0 / static_cast<double>(networks_.most_images_with_graph(i, options_.transform.crop));
    return std::max<int64_t>(1, static_cast<int64_t>(1 / share));
  }

  void leave_networks() { networks_.leave(); }

  // images [B, 3, S, S], labels [B] → [B, magnitudes, stages], float64.
  at::Tensor score(const at::Tensor& images, const at::Tensor& labels) {
    auto x = clamp_ ? adversarial_copies(images, labels) : images;
    const c10::AutoGradMode gradients(stages_.moves());
    if (stages_.moves()) x = x.clone().requires_grad_(true);
    std::vector<std::vector<at::Tensor>> features;
    for (size_t i = 0; i < networks_.size(); ++i) {
      features.emplace_back();
      for (const auto& map : stages_of(networks_[i], x, stage_count()))
        features.back().push_back(global_average(map));
    }
    return stages_.score(x, features, [&](size_t member, const at::Tensor& moved, int stage) {
      return global_average(stages_of(networks_[member], moved, stage).back());
    });
  }

 private:
  bool with_gradients() const { return stages_.moves() || clamp_ != nullptr; }

  std::vector<ReadyNetworks::Wanted> wanted() const {
    if (with_gradients()) compute_.require_gradients();
    std::vector<ReadyNetworks::Wanted> all;
    for (const auto& [arch, checkpoint] : options_.members)
      all.push_back({arch, checkpoint, with_gradients()});
    return all;
  }

  // The maps of a member's stages up to `last`.
  std::vector<at::Tensor> stages_of(Network& network, const at::Tensor& images, int last) {
    context_.throw_if_aborted();
    const Autocast autocast(compute_);
    auto maps = network.forward(images, /*training=*/false, {.stages = true, .until = last}).stages;
    if (static_cast<int>(maps.size()) != last) stages_.require_stages(maps.size());
    return maps;
  }

  at::Tensor adversarial_copies(const at::Tensor& images, const at::Tensor& labels) {
    const auto x = images.clone().requires_grad_(true);
    for (size_t i = 0; i < networks_.size(); ++i) {
      context_.throw_if_aborted();
      const c10::AutoGradMode gradients(true);
      at::Tensor logits;
      {
        const Autocast autocast(compute_);
        logits = networks_[i].forward(x, /*training=*/false, {}).logits;
      }
      require_labels(labels, logits.size(1));
      // The sum over images, whose gradients are then independent of each other; a division by the number
      // of members would not change the sign.
      at::cross_entropy_loss(logits.to(at::kFloat), labels, {}, at::Reduction::Sum).backward();
    }
    return clamp_(at::add(images, sign_of(x.grad()), options_.adversarial->step), options_.transform);
  }

  static void require_labels(const at::Tensor& on_device, int64_t classes) {
    const auto labels = on_device.cpu();
    const auto* label = labels.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < labels.size(0); ++i)
      if (label[i] < 0 || label[i] >= classes)
        throw Error(ErrorCode::data, "Adversarial copies need the images' labels: expected 0 to " +
                                         std::to_string(classes - 1) + ", found " + std::to_string(label[i]) +
                                         ".");
  }

  const PerturbedGaussiansOptions& options_;
  const Compute& compute_;
  JobContext& context_;
  StageScores stages_;
  Clamp clamp_;
  ReadyNetworks networks_;
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
}

}  // namespace

PerturbedGaussiansResult perturbed_gaussians(const PerturbedGaussiansOptions& options, JobContext& context) {
  check(options);
  use_threads(options.threads);
  const MemoryReuse reuse;
  const c10::NoGradGuard no_grad;
  const auto start = std::chrono::steady_clock::now();
  const auto data = part_of(options);
  const Compute compute(options.device, options.precision);
  const DeviceScope scope(compute);
  Scorer scorer(options, compute, context);
  LoaderOptions settings;
  settings.prepare.transform = options.transform;
  // Steps are far below the resolution of bfloat16 pixels.
  settings.prepare.type = PixelType::float32;
  settings.batchSize = std::min(options.batchSize, scorer.images_at_once());
  settings.workers = options.workers;
  Feed loader(data, settings, compute);
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
      require_finite_scores(
          scores, [&](int64_t row) { return "image " + std::to_string(options.first + result.count + row); });
      file.append({batch.labels.cpu(), scores.cpu()});
      result.count += rows;
    }
    meter.add(batch.read);
  }
  if (result.count == 0) throw Error(ErrorCode::data, "No image of the set could be read.");
  context.throw_if_aborted();
  file.commit();
  scorer.leave_networks();
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace mode_ensemble
