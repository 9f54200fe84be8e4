#include "linalg/gaussians.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "linalg/fused_rows.h"
#include "runtime/device.h"
#include "runtime/files.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

constexpr const char* kMeans = ".means";
constexpr const char* kWhitening = ".whitening";
// Doubles of one block of rows (16 MiB): a block takes a fraction of a second.
constexpr int64_t kBlock = int64_t{1} << 21;

at::Tensor read_matrix(const TensorSource& source, const TensorEntry& entry) {
  const std::string what = "\"" + printable(entry.name) + "\": expected ";
  if (entry.dtype != "F64" || entry.shape.size() != 2)
    source.bytes->fail(what + "a float64 matrix, found " + entry.dtype + " with " +
                       std::to_string(entry.shape.size()) + " dimensions.");
  auto matrix = at::empty(entry.shape, at::kDouble);
  source.bytes->read_at(source.header.data_offset + entry.begin, matrix.mutable_data_ptr(),
                        entry.end - entry.begin);
  if (!at::isfinite(matrix).all().item<bool>())
    source.bytes->fail(what + "finite numbers, found NaN or infinity.");
  return matrix;
}

// The class whose mean is closest and W(f − μ_ĉ).
struct Closest {
  at::Tensor index;  // [N]
  at::Tensor white;  // [N, r]
};

Closest closest(const GaussianStage& stage, const at::Tensor& features) {
  if (features.dim() != 2 || features.size(1) != stage.means.size(1))
    throw Error(ErrorCode::data, "Stage " + printable(stage.name) + ": expected features of width " +
                                     std::to_string(stage.means.size(1)) + " as the statistics have, found " +
                                     (features.dim() == 2 ? std::to_string(features.size(1))
                                                          : std::to_string(features.dim()) + " dimensions") +
                                     ".");
  auto white = (features.to(at::kDouble) - stage.centre).mm(stage.whitening.t());  // [N, r]
  // ‖u − v‖² up to ‖u‖², which does not change the order; the distance itself is taken from differences.
  const auto order =
      at::addmm(stage.white_means.square().sum(1).unsqueeze(0), white, stage.white_means.t(), 1, -2);
  auto index = order.argmin(1);
  white.sub_(stage.white_means.index_select(0, index));
  return {std::move(index), std::move(white)};
}

}  // namespace

const GaussianStage& Gaussians::stage(const std::string& name) const {
  std::string known;
  for (const auto& stage : stages) {
    if (stage.name == name) return stage;
    known += (known.empty() ? "" : ", ") + printable(stage.name);
  }
  throw Error(ErrorCode::data, path + ": expected the statistics of \"" + printable(name) +
                                   "\", found those of " + (known.empty() ? "no stage" : known) + ".");
}

void write_gaussians(const std::string& path, const std::vector<GaussianStage>& stages,
                     const std::map<std::string, std::string>& metadata) {
  std::vector<TensorEntry> entries;
  std::vector<at::Tensor> tensors;
  for (const auto& stage : stages)
    for (const auto& [suffix, tensor] : {std::pair{kMeans, stage.means}, {kWhitening, stage.whitening}}) {
      entries.push_back({stage.name + suffix, "F64", tensor.sizes().vec()});
      tensors.push_back(tensor.contiguous());
    }
  const std::string head = layout_safetensors(entries, metadata);
  AtomicFile file(path);
  file.write_at(0, head.data(), static_cast<int64_t>(head.size()));
  for (size_t i = 0; i < entries.size(); ++i)
    file.write_at(static_cast<int64_t>(head.size()) + entries[i].begin, tensors[i].const_data_ptr(),
                  entries[i].end - entries[i].begin);
  file.commit();
}

Gaussians read_gaussians(const std::string& path) {
  const auto source = open_tensors(path);
  Gaussians out;
  out.path = path;
  out.metadata = source.header.metadata;
  for (const auto& entry : source.header.tensors) {
    if (!entry.name.ends_with(kMeans)) continue;
    GaussianStage stage;
    stage.name = entry.name.substr(0, entry.name.size() - std::string(kMeans).size());
    const auto* whitening = source.header.find(stage.name + kWhitening);
    if (!whitening) source.bytes->fail("expected a tensor \"" + printable(stage.name) + kWhitening + "\".");
    stage.means = read_matrix(source, entry);
    stage.whitening = read_matrix(source, *whitening);
    const int64_t classes = stage.means.size(0), width = stage.means.size(1);
    if (classes == 0 || width == 0 || stage.whitening.size(1) != width || stage.whitening.size(0) > width)
      source.bytes->fail("\"" + printable(stage.name) + "\": expected means [C, D] and a whitening [r, D] " +
                         "with r up to D, found [" + std::to_string(classes) + ", " + std::to_string(width) +
                         "] and [" + std::to_string(stage.whitening.size(0)) + ", " +
                         std::to_string(stage.whitening.size(1)) + "].");
    stage.centre = stage.means.mean(0);
    stage.white_means = (stage.means - stage.centre).mm(stage.whitening.t());
    out.stages.push_back(std::move(stage));
  }
  if (out.stages.empty()) source.bytes->fail("expected the statistics of stages, found none.");
  return out;
}

at::Tensor closest_score(const GaussianStage& stage, const at::Tensor& features) {
  const c10::NoGradGuard no_grad;
  return closest(stage, features).white.square_().sum(1).mul_(-0.5);
}

at::Tensor gradient_of_closest(const GaussianStage& stage, const at::Tensor& features) {
  const c10::NoGradGuard no_grad;
  return closest(stage, features).white.mm(stage.whitening).to(features.scalar_type());
}

GaussianScoresResult gaussian_scores(const GaussianScoresOptions& options, JobContext& context) {
  use_threads(options.threads);
  const c10::NoGradGuard no_grad;
  if (options.stages.empty())
    throw Error(ErrorCode::config, "stages: expected at least one tensor, found none.");
  for (const auto& files : options.sets)
    if (files.empty() || files.size() != options.sets.front().size())
      throw Error(ErrorCode::config,
                  "sets: expected as many feature files for each set, at least one, found " +
                      std::to_string(options.sets.front().size()) + " and " + std::to_string(files.size()) +
                      ".");
  const auto gaussians = read_gaussians(options.statistics);
  const auto width = static_cast<int64_t>(options.stages.size());
  GaussianScoresResult result;
  result.scores.resize(options.sets.size());
  // All files are looked at before the first is computed with.
  std::vector<FusedRows> sources;  // [sets * stages]
  int64_t total = 0;
  for (size_t set = 0; set < options.sets.size(); ++set)
    for (const auto& name : options.stages) {
      const auto& stage = gaussians.stage(name);
      sources.emplace_back(options.sets[set], name);
      const auto& rows = sources.back();
      const std::string& path = options.sets[set].front();
      if (rows.width() != stage.means.size(1))
        throw Error(ErrorCode::data, path + ": expected \"" + printable(name) + "\" of width " +
                                         std::to_string(stage.means.size(1)) + " as in " +
                                         options.statistics + ", found " + std::to_string(rows.width()) +
                                         ".");
      auto& scores = result.scores[set];
      if (name == options.stages.front()) scores.resize(static_cast<size_t>(rows.rows() * width));
      if (scores.size() != static_cast<size_t>(rows.rows() * width))
        throw Error(ErrorCode::data, path + ": expected as many rows in \"" + printable(name) +
                                         "\" as in \"" + printable(options.stages.front()) + "\", found " +
                                         std::to_string(rows.rows()) + ".");
      total += rows.rows();
    }
  ProgressMeter meter(context, "distances", total);
  for (size_t i = 0; i < sources.size(); ++i) {
    const auto k = static_cast<int64_t>(i) % width;
    const auto& stage = gaussians.stage(options.stages[static_cast<size_t>(k)]);
    const int64_t row_size = stage.means.size(1) + stage.whitening.size(0) + stage.means.size(0);
    const int64_t block = std::max<int64_t>(1, kBlock / row_size);
    double* const to = result.scores[i / static_cast<size_t>(width)].data();
    for (int64_t first = 0; first < sources[i].rows(); first += block) {
      context.throw_if_aborted();
      const int64_t count = std::min(block, sources[i].rows() - first);
      const auto scores = closest_score(stage, sources[i].read(first, count)).contiguous();
      for (int64_t row = 0; row < count; ++row)
        to[(first + row) * width + k] = scores.const_data_ptr<double>()[row];
      meter.add(count);
    }
  }
  return result;
}

}  // namespace mode_ensemble
