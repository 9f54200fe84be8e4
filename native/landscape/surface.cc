#include "landscape/surface.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <string_view>

#include "landscape/held_images.h"
#include "landscape/statistics.h"
#include "landscape/weight_space.h"
#include "runtime/compute.h"
#include "runtime/device.h"
#include "runtime/memory.h"
#include "runtime/parallel.h"
#include "runtime/random.h"

namespace mode_ensemble {
namespace {

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

// What the images of a batch count as; undefined where each class has the same share.
using Labels = at::Tensor;  // [N] int64

struct LabelContext {
  const Batch& batch;
  int64_t classes;
  int64_t first;  // place of the batch's first image in its set
  uint64_t seed, set;
  Network* centre;  // only for those that need it
  const std::string& precision;
};

Labels own_labels(const LabelContext& context) {
  const auto& labels = context.batch.labels;
  const auto* label = labels.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < labels.size(0); ++i)
    if (label[i] < 0 || label[i] >= context.classes)
      throw Error(ErrorCode::data, "sets[" + std::to_string(context.set) + "]: expected labels from 0 to " +
                                       std::to_string(context.classes - 1) +
                                       ", as the network has them, found " + std::to_string(label[i]) + ".");
  return labels;
}

Labels predicted_labels(const LabelContext& context) {
  const Autocast autocast(context.precision);
  return context.centre->forward(context.batch.images, /*training=*/false, {}).logits.argmax(1);
}

Labels random_labels(const LabelContext& context) {
  auto labels = at::empty_like(context.batch.labels);
  auto* label = labels.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < labels.size(0); ++i) {
    RandomStream random(context.seed, "landscape-labels", context.set,
                        static_cast<uint64_t>(context.first + i));
    label[i] = random.below(static_cast<uint32_t>(context.classes));
  }
  return labels;
}

Labels uniform_target(const LabelContext&) { return {}; }

struct LabelRow {
  std::string_view name;
  Labels (*make)(const LabelContext& context);
  bool needs_centre;
};
constexpr LabelRow kLabelRules[] = {{"own", own_labels, false},
                                    {"prediction", predicted_labels, true},
                                    {"random", random_labels, false},
                                    {"uniform", uniform_target, false}};

const LabelRow& label_rule(const std::string& name) {
  for (const auto& row : kLabelRules)
    if (row.name == name) return row;
  throw Error(ErrorCode::config, "labels: expected own, prediction, random or uniform, found " + name + ".");
}

struct LabelledSet {
  HeldImages images;
  std::vector<Labels> labels;  // one a batch
};

// Activations from here on may overflow within a few layers, and a frozen network's ReLU makes zero of NaN.
constexpr double kLarge = 1e18;

bool may_overflow(const ForwardResult& result) {
  auto maps = result.stages;
  maps.push_back(result.logits);
  for (const auto& map : maps)
    if (!(map.abs().max().item<double>() < kLarge)) return true;
  return false;
}

class Surface {
 public:
  Surface(const SurfaceOptions& options, JobContext& context)
      : options_(options),
        context_(context),
        seed_(static_cast<uint64_t>(options.seed)),
        space_(options.arch, options.checkpoints, options.directions, seed_) {
    if (!options.directionsOutput.empty()) space_.save_directions(options.directionsOutput);
    hold();
    label();
  }

  int64_t points() const { return static_cast<int64_t>(options_.coefficients.size()) / space_.size(); }

  SurfaceResult run() {
    const auto start = std::chrono::steady_clock::now();
    const int64_t count = points(), at_once = std::min(count, options_.threads);
    ProgressMeter meter(context_, "points", count);
    std::mutex mutex;
    // One network a thread: small images keep no two cores busy with one.
    parallel_for(count, at_once, [&](int64_t point) {
      context_.throw_if_aborted();
      use_threads(std::max<int64_t>(1, options_.threads / std::max<int64_t>(1, at_once)));
      const auto report = measure(point);
      const std::lock_guard lock(mutex);
      context_.report(report);
      meter.add(1);
    });
    SurfaceResult result;
    for (const auto& set : sets_) {
      result.counts.push_back(set.images.count);
      result.skipped.push_back(set.images.skipped);
    }
    result.seconds = seconds_since(start);
    return result;
  }

 private:
  LoaderOptions loader_options(int64_t batch_size) const {
    LoaderOptions loader;
    loader.prepare.transform = options_.transform;
    loader.prepare.type = pixel_type_of(options_.precision, space_.vector(0).begins_with_convolution());
    loader.batchSize = batch_size;
    loader.workers = options_.workers;
    return loader;
  }

  void hold() {
    std::vector<HoldOptions> all;
    for (size_t i = 0; i < options_.sets.size(); ++i) {
      const auto& set = options_.sets[i];
      all.push_back({set.data, set.images, seed_, "landscape-images", i, loader_options(options_.batchSize)});
    }
    if (options_.statistics && has_running_statistics(space_.vector(0))) {
      const auto& statistics = *options_.statistics;
      auto loader = loader_options(statistics.batchSize);
      if (statistics.augment) {
        loader.prepare.training = true;
        loader.prepare.augment = *statistics.augment;
      }
      loader.prepare.seed = loader.sampler.seed = seed_;
      loader.sampler.shuffle = true;
      all.push_back({statistics.train, statistics.images, seed_, "landscape-statistics", 0, loader});
    }
    check_memory(all);
    int64_t images = 0;
    for (const auto& one : all) images += images_to_hold(one);
    ProgressMeter meter(context_, "images", images);
    for (size_t i = 0; i < all.size(); ++i) {
      auto held = hold_images(all[i], meter, context_);
      if (i < options_.sets.size())
        sets_.push_back({std::move(held), {}});
      else
        statistics_ = std::move(held);
    }
  }

  void check_memory(const std::vector<HoldOptions>& all) const {
    int64_t bytes = 0, images = 0;
    for (const auto& one : all) bytes += bytes_to_hold(one), images += images_to_hold(one);
    if (bytes <= options_.memory) return;
    const auto mebibytes = [](int64_t n) { return std::to_string((n + (1 << 20) - 1) >> 20) + " MiB"; };
    throw Error(ErrorCode::memory, "images: the " + std::to_string(images) + " images of all sets take " +
                                       mebibytes(bytes) + " of memory, and " + mebibytes(options_.memory) +
                                       " are allowed; take fewer images or allow more memory.");
  }

  void label() {
    const bool needs_centre = std::any_of(options_.sets.begin(), options_.sets.end(), [](const auto& set) {
      return label_rule(set.labels).needs_centre;
    });
    const auto centre = needs_centre ? network_at(options_.labelsAt.data(), false) : nullptr;
    for (size_t s = 0; s < sets_.size(); ++s) {
      const auto& rule = label_rule(options_.sets[s].labels);
      int64_t first = 0;
      for (const auto& batch : sets_[s].images.batches) {
        context_.throw_if_aborted();
        sets_[s].labels.push_back(
            rule.make({batch, options_.arch.classes, first, seed_, s, centre.get(), options_.precision}));
        first += batch.images.size(0);
      }
    }
  }

  std::unique_ptr<Network> network_at(const double* coefficients, bool frozen) const {
    auto network = space_.at(coefficients);
    if (statistics_)
      estimate_statistics(*network, *statistics_, options_.precision,
                          RandomStream(seed_, "landscape-dropout").next(), context_);
    if (frozen) network->prepare({options_.precision, false});
    return network;
  }

  PointReport measure(int64_t point) const {
    const c10::NoGradGuard no_grad;
    const double* coefficients = options_.coefficients.data() + point * space_.size();
    PointReport report;
    if (!options_.frozen || !add_sets(report, *network_at(coefficients, true), true)) {
      report = {};
      add_sets(report, *network_at(coefficients, false), false);
    }
    report.index = point;
    return report;
  }

  // False, and nothing more to be had, where the network is frozen and the first batch shows that it may hide
  // numbers that are not finite.
  bool add_sets(PointReport& report, Network& network, bool is_frozen) const {
    for (const auto& set : sets_)
      if (!add_set(report, network, set, is_frozen && &set == &sets_.front())) return false;
    return true;
  }

  // The mean cross-entropy, NaN where it is not finite, and the share of images whose largest logit is their
  // label's. `looks`: at the maps of the first batch; false where they are too large.
  bool add_set(PointReport& report, Network& network, const LabelledSet& set, bool looks) const {
    double loss = 0, right = 0;
    for (size_t b = 0; b < set.labels.size(); ++b) {
      context_.throw_if_aborted();
      const bool looks_now = looks && b == 0;
      ForwardResult result;
      {
        const Autocast autocast(options_.precision);
        result = network.forward(set.images.batches[b].images, /*training=*/false, {.stages = looks_now});
      }
      if (looks_now && may_overflow(result)) return false;
      const auto logits = result.logits.to(at::kDouble);
      const auto& labels = set.labels[b];
      if (!labels.defined()) {
        loss -= at::log_softmax(logits, 1).mean(1).sum().item<double>();
        right = kNoNumber;
        continue;
      }
      loss += at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum).item<double>();
      right += logits.argmax(1).eq(labels).sum().item<double>();
    }
    const auto count = static_cast<double>(set.images.count);
    report.losses.push_back(std::isfinite(loss) ? loss / count : kNoNumber);
    report.accuracies.push_back(std::isfinite(loss) ? right / count : kNoNumber);
    return true;
  }

  const SurfaceOptions& options_;
  JobContext& context_;
  uint64_t seed_;
  WeightSpace space_;
  std::vector<LabelledSet> sets_;
  std::optional<HeldImages> statistics_;
};

void check(const SurfaceOptions& options) {
  const auto fail = [](const std::string& message) { throw Error(ErrorCode::config, message); };
  const size_t width = options.checkpoints.size() + static_cast<size_t>(options.directions);
  if (options.checkpoints.empty()) fail("checkpoints: expected at least one, found none.");
  if (options.sets.empty()) fail("sets: expected at least one, found none.");
  if (options.labelsAt.size() != width || options.coefficients.size() % width != 0)
    fail("coefficients, labelsAt: expected " + std::to_string(width) + " numbers a point.");
}

}  // namespace

SurfaceResult surface(const SurfaceOptions& options, JobContext& context) {
  check(options);
  use_threads(options.threads);
  const MemoryReuse reuse;
  const c10::NoGradGuard no_grad;
  return Surface(options, context).run();
}

std::vector<double> weight_products(const WeightProductsOptions& options) {
  const c10::NoGradGuard no_grad;
  return WeightSpace(options.arch, options.checkpoints, 0, 0).products();
}

}  // namespace mode_ensemble
