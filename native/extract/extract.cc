#include "extract/extract.h"

#include <algorithm>
#include <set>

#include "checkpoint/weights.h"
#include "cuda/feed.h"
#include "extract/feature_file.h"
#include "extract/passes.h"
#include "models/graph_memory.h"
#include "runtime/device.h"
#include "runtime/memory.h"

namespace mode_ensemble {
namespace {

constexpr size_t kSkippedListed = 100;

struct Member {
  std::unique_ptr<Network> network;
  std::vector<std::unique_ptr<FeatureFile>> files;  // one an output
  struct Scores {
    Scores(const StageScoresOutput& output, int64_t capacity)
        : scorer(output.statistics, output.magnitudes),
          file(output.path,
               {{"labels", "I64", {}},
                {"scores", "F64", {static_cast<int64_t>(output.magnitudes.size()), scorer.stage_count()}}},
               capacity, output.metadata) {}
    StageScores scorer;
    FeatureFile file;
  };
  std::vector<std::unique_ptr<Scores>> scores;
  // Temperatures of the gradients that this member adds to those of the members before it, as itself or a
  // member after it perturbs by their sum.
  std::set<double> carries;
  bool with_graph = false;
};

const char* dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kLong:
      return "I64";
    case at::kHalf:
      return "F16";
    default:
      return "F32";
  }
}

std::unique_ptr<FeatureFile> make_file(const ExtractOutput& output, const Network& network,
                                       const Columns& columns, int64_t capacity) {
  std::vector<TensorEntry> entries;
  for (size_t i = 0; i < columns.rows.size(); ++i)
    entries.push_back({columns.names[i], dtype_of(columns.rows[i]), columns.rows[i].sizes().slice(1).vec()});
  // The network knows which stage its last layer reads; who reads the file is told here.
  auto metadata = output.metadata;
  const auto has = [&](const std::string& name) {
    return std::find(columns.names.begin(), columns.names.end(), name) != columns.names.end();
  };
  const auto stage = "stage" + std::to_string(network.penultimate_stage());
  metadata["penultimate"] = has("penultimate") ? "penultimate" : has(stage) ? stage : "";
  return std::make_unique<FeatureFile>(output.path, std::move(entries), capacity, std::move(metadata));
}

// Opens all networks and finds out what is asked of each before any image is read.
std::vector<Member> open_members(const ExtractOptions& options, const Compute& compute, JobContext& context) {
  std::vector<Member> members;
  for (const auto& member : options.members) {
    context.throw_if_aborted();
    members.push_back({open_network(member.arch, member.checkpoint), {}, {}, {}});
    members.back().network->to_device(compute.device);
    members.back().files.resize(member.outputs.size());
    for (const auto& output : member.outputs) check_output(output, *members.back().network);
    for (const auto& output : member.stageScores) {
      auto scores = std::make_unique<Member::Scores>(output, options.data->reader->size());
      scores->scorer.to_device(compute.device);
      members.back().scores.push_back(std::move(scores));
    }
  }
  std::set<double> wanted;
  for (size_t i = members.size(); i-- > 0;) {
    const auto& outputs = options.members[i].outputs;
    for (const auto& output : outputs)
      if (is_accumulated(output)) wanted.insert(output.pass.temperature);
    members[i].carries = wanted;
    members[i].with_graph = !wanted.empty() || std::any_of(outputs.begin(), outputs.end(), is_perturbed);
    for (const auto& scores : members[i].scores) members[i].with_graph |= scores->scorer.moves();
    if (members[i].with_graph) compute.require_gradients();
    members[i].network->prepare({compute, members[i].with_graph});
  }
  return members;
}

LoaderOptions loader_options(const ExtractOptions& options, const std::vector<Member>& members,
                             const Compute& compute, JobContext& context) {
  LoaderOptions settings;
  settings.prepare.transform = options.transform;
  settings.batchSize = options.batchSize;
  settings.workers = options.workers;
  bool rounded = true;
  for (const Member& member : members) {
    // A step of 0.0014 is lost where pixels were rounded to bfloat16 before it. Rounded after it, some pixels
    // move by more and most not at all, which comes to the same: on published networks the logits then change
    // as they do in float32 (slope 0.97 to 1.01, correlation 0.99).
    rounded &= member.network->begins_with_convolution() && !member.with_graph;
    if (!member.with_graph) continue;
    context.throw_if_aborted();
    const int64_t most = most_images_with_graph(*member.network, options.transform.crop, compute);
    settings.batchSize = std::min(settings.batchSize, most);
  }
  settings.prepare.type = pixel_type_of(options.precision, rounded);
  return settings;
}

}  // namespace

ExtractResult extract(const ExtractOptions& options, JobContext& context) {
  if (options.batchSize < 1)
    throw Error(ErrorCode::config,
                "batchSize: expected at least 1, found " + std::to_string(options.batchSize) + ".");
  use_threads(options.threads);
  const MemoryReuse reuse;
  const c10::NoGradGuard no_grad;
  const Compute compute(options.device, options.precision);
  const DeviceScope scope(compute);
  auto members = open_members(options, compute, context);
  const auto start = std::chrono::steady_clock::now();
  Feed loader(options.data, loader_options(options, members, compute, context), compute);
  const int64_t size = options.data->reader->size();
  ProgressMeter meter(context, "extract", size);
  ExtractResult result;
  Batch batch;
  while (loader.next(batch)) {
    const int64_t rows = batch.images.size(0);
    // The image's name where nothing was passed over, else its place in the files.
    const auto name_of = [&](int64_t row) {
      const int64_t at = result.count + row;
      const bool in_order = loader.loader().skipped_count() == 0;
      return in_order ? options.data->reader->name(at) : "row " + std::to_string(at) + " of the features";
    };
    Carried carried;
    for (size_t i = 0; i < members.size() && rows > 0; ++i) {
      const auto& arch = options.members[i].arch;
      const auto& outputs = options.members[i].outputs;
      Member& member = members[i];
      const BatchPasses::Settings settings{arch, compute, member.with_graph, name_of};
      BatchPasses passes(*member.network, batch, settings);
      for (const double temperature : member.carries) {
        auto& sum = carried[temperature];
        sum = sum.defined() ? sum + passes.gradient(temperature) : passes.gradient(temperature);
      }
      for (size_t k = 0; k < outputs.size(); ++k) {
        context.throw_if_aborted();
        const auto columns = make_columns(passes, outputs[k], carried);
        auto& file = member.files[k];
        if (!file) file = make_file(outputs[k], *member.network, columns, size);
        file->append(columns.rows);
      }
      for (auto& scores : member.scores) {
        context.throw_if_aborted();
        scores->file.append({batch.labels.cpu(), passes.stage_scores(scores->scorer).cpu()});
      }
    }
    result.count += rows;
    meter.add(batch.read);
  }
  result.skippedCount = loader.loader().skipped_count();
  for (const BadImage& image : loader.loader().skipped())
    if (result.skipped.size() < kSkippedListed) result.skipped.push_back(image);
  if (result.count == 0) throw Error(ErrorCode::data, "No image of the set could be read.");
  context.throw_if_aborted();
  for (auto& member : members) {
    for (auto& file : member.files) file->commit();
    for (auto& scores : member.scores) scores->file.commit();
  }
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace mode_ensemble
