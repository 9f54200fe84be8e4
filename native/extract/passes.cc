#include "extract/passes.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

#include "extract/rank1.h"
#include "models/layers.h"

namespace mode_ensemble {
namespace {

struct StorageRow {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array<StorageRow, 2> kStorages{{{"float32", at::kFloat}, {"float16", at::kHalf}}};

at::ScalarType storage_type(const std::string& storage) {
  for (const auto& row : kStorages)
    if (row.name == storage) return row.type;
  throw Error(ErrorCode::config, "storage: expected float32 or float16, found " + storage + ".");
}

// `feature` [N, D] in the type that it is stored in. What is not finite stays so; whoever reads it will say
// it.
at::Tensor stored(const at::Tensor& feature, const char* name, at::ScalarType type,
                  const BatchPasses& passes) {
  const auto out = feature.to(type);
  if (type != at::kHalf) return out;
  const auto overflows = out.isinf().logical_and_(feature.isfinite());
  if (!overflows.any().item<bool>()) return out;
  const auto place = overflows.nonzero()[0];  // row and column of the first
  const auto row = place[0].item<int64_t>();
  const auto value = feature[row][place[1].item<int64_t>()].item<double>();
  throw Error(ErrorCode::numeric, passes.settings.name_of(row) + ": " + name + " has the number " +
                                      std::to_string(value) +
                                      ", expected at most 65504 in float16; storage: float32 holds it.");
}

// logits [N, C], stage1 … [N, C_k] (averages over space) and, where no stage's average is what the last layer
// reads, penultimate [N, D].
void plain_columns(Columns& columns, BatchPasses& passes, const ExtractOutput& output, const Carried&) {
  const auto type = storage_type(output.storage);
  const auto& result = passes.plain();
  const auto logits = result.logits.to(at::kFloat);
  columns.add("predictions", logits.argmax(1));
  columns.add("logits", logits);
  for (size_t k = 0; k < result.stages.size(); ++k) {
    const auto name = "stage" + std::to_string(k + 1);
    columns.add(name, stored(global_average(result.stages[k]), name.c_str(), type, passes));
  }
  if (passes.network.penultimate_stage() == 0 && result.penultimate.defined())
    columns.add("penultimate", stored(result.penultimate, "penultimate", type, passes));
}

// Logits of x̃ = x − magnitude·sign(∇_x CE(z/T, argmax z)), sign(0) = +1. Liang et al., arXiv 1706.02690.
void perturbed_columns(Columns& columns, BatchPasses& passes, const ExtractOutput& output,
                       const Carried& carried) {
  const auto& pass = output.pass;
  const auto& gradient =
      is_accumulated(output) ? carried.at(pass.temperature) : passes.gradient(pass.temperature);
  const auto number = at::TensorOptions(gradient.device()).dtype(at::kFloat);
  const auto step = at::where(gradient.ge(0), at::scalar_tensor(-pass.magnitude, number),
                              at::scalar_tensor(pass.magnitude, number));
  columns.add("logits", passes.logits_of(passes.batch.images + step));
}

// ½(a + b), the logits without rank-1 parts; see without_rank1. Song et al., arXiv 2209.08590.
void rank1_columns(Columns& columns, BatchPasses& passes, const ExtractOutput&, const Carried&) {
  const auto& stages = passes.plain().stages;
  const Autocast autocast(passes.settings.compute);
  auto logits = passes.network.head(without_rank1(stages.back())).to(at::kFloat);
  if (passes.network.rank1_stages() > 1) {
    const auto before = without_rank1(stages[stages.size() - 2]);
    logits = (logits + passes.network.resume(before).to(at::kFloat)) / 2;
  }
  columns.add("logits", logits);
}

void check_nothing(const PassOptions&, const Network&) {}

void check_perturbed(const PassOptions& pass, const Network&) {
  const auto fail = [](const char* field, const char* expected, const std::string& found) {
    throw Error(ErrorCode::config,
                std::string("pass.") + field + ": expected " + expected + ", found " + found + ".");
  };
  if (!(pass.temperature > 0) || !std::isfinite(pass.temperature))
    fail("temperature", "a number above 0", std::to_string(pass.temperature));
  if (!(pass.magnitude >= 0) || !std::isfinite(pass.magnitude))
    fail("magnitude", "a number of at least 0", std::to_string(pass.magnitude));
  if (pass.gradient != "own" && pass.gradient != "accumulated")
    fail("gradient", "own or accumulated", pass.gradient);
}

void check_rank1(const PassOptions&, const Network& network) {
  if (network.rank1_stages() > 0) return;
  throw Error(ErrorCode::config,
              "pass.kind: rank1 takes parts of the stages' feature maps away, which this network (a "
              "TorchScript module) does not give.");
}

struct PassRow {
  std::string_view kind;
  void (*check)(const PassOptions& pass, const Network& network);
  void (*make)(Columns& columns, BatchPasses& passes, const ExtractOutput& output, const Carried& carried);
};

// A new kind of pass is its functions and a row here.
constexpr std::array<PassRow, 3> kPasses{{
    {"plain", check_nothing, plain_columns},
    {"perturbed", check_perturbed, perturbed_columns},
    {"rank1", check_rank1, rank1_columns},
}};

const PassRow& row_of(const ExtractOutput& output) {
  for (const auto& row : kPasses)
    if (row.kind == output.pass.kind) return row;
  throw Error(ErrorCode::config,
              "pass.kind: expected plain, perturbed or rank1, found " + output.pass.kind + ".");
}

}  // namespace

bool is_perturbed(const ExtractOutput& output) { return output.pass.kind == "perturbed"; }

bool is_accumulated(const ExtractOutput& output) {
  return is_perturbed(output) && output.pass.gradient == "accumulated";
}

void check_output(const ExtractOutput& output, const Network& network) {
  row_of(output).check(output.pass, network);
  storage_type(output.storage);
}

ForwardResult BatchPasses::forward(const at::Tensor& images, const Want& want) {
  const Autocast autocast(settings.compute);
  return network.forward(images, /*training=*/false, want);
}

const ForwardResult& BatchPasses::plain() {
  if (plain_) return *plain_;
  images_ = batch.images.detach();
  // Weights ask for no gradient, so the graph is that of the images alone.
  const c10::AutoGradMode graph(settings.with_graph);
  if (settings.with_graph) images_.requires_grad_(true);
  plain_ = forward(images_, {.stages = true});
  const auto classes = settings.arch.classes;
  if (plain_->logits.size(1) != classes)
    throw Error(ErrorCode::checkpoint, "The network gives " + std::to_string(plain_->logits.size(1)) +
                                           " logits, expected " + std::to_string(classes) +
                                           ", as many as the data has classes.");
  if (settings.with_graph && !plain_->logits.requires_grad())
    throw Error(ErrorCode::checkpoint,
                "The network gives logits without a gradient of the images, which a perturbed pass needs.");
  return *plain_;
}

const at::Tensor& BatchPasses::gradient(double temperature) {
  auto& found = gradients_[temperature];
  if (found.defined()) return found;
  const auto& logits = plain().logits;
  // ∂CE/∂z = (softmax(z/T) − onehot)/T. The factor 1/T changes no sign and is left out. In float64, and the
  // prediction's p − 1 as minus the sum of the others: 1 − p would vanish where the network is certain.
  auto slope = at::softmax(logits.detach().to(at::kDouble) / temperature, 1);
  const auto predicted = logits.detach().argmax(1, /*keepdim=*/true);
  slope.scatter_(1, predicted, 0.0);
  slope.scatter_(1, predicted, -slope.sum(1, /*keepdim=*/true));
  found = torch::autograd::grad({logits}, {images_}, {slope.to(logits.scalar_type())},
                                /*retain_graph=*/true)[0];
  return found;
}

at::Tensor BatchPasses::logits_of(const at::Tensor& images) {
  return forward(images, {}).logits.to(at::kFloat);
}

at::Tensor BatchPasses::stage_scores(const StageScores& scorer) {
  const auto& maps = plain().stages;
  scorer.require_stages(maps.size());
  const c10::AutoGradMode graph(settings.with_graph);
  std::vector<at::Tensor> features;
  for (const auto& map : maps) features.push_back(global_average(map));
  const auto scores = scorer.score(images_, {features}, [&](size_t, const at::Tensor& moved, int stage) {
    return global_average(forward(moved, {.stages = true, .until = stage}).stages.back());
  });
  require_finite_scores(scores, settings.name_of);
  return scores;
}

Columns make_columns(BatchPasses& passes, const ExtractOutput& output, const Carried& carried) {
  Columns made;
  made.add("labels", passes.batch.labels);
  row_of(output).make(made, passes, output, carried);
  std::vector<size_t> order(made.rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return made.rows[a].itemsize() > made.rows[b].itemsize(); });
  Columns columns;
  for (const size_t i : order) columns.add(made.names[i], made.rows[i]);
  return columns;
}

}  // namespace mode_ensemble
