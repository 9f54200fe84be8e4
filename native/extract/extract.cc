#include "extract/extract.h"

#include <algorithm>
#include <set>

#include "cuda/feed.h"
#include "extract/feature_file.h"
#include "extract/passes.h"
#include "extract/ready_networks.h"
#include "runtime/device.h"
#include "runtime/memory.h"

namespace mode_ensemble {
namespace {

constexpr size_t kSkippedListed = 100;

struct Member {
  Network* network = nullptr;
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

// What is asked of each network.
std::vector<Member> plan_members(const ExtractOptions& options, const Compute& compute) {
  std::vector<Member> members(options.members.size());
  std::set<double> wanted;
  for (size_t i = members.size(); i-- > 0;) {
    auto& member = members[i];
    const auto& [arch, checkpoint, outputs, stageScores] = options.members[i];
    member.files.resize(outputs.size());
    for (const auto& output : outputs)
      if (is_accumulated(output)) wanted.insert(output.pass.temperature);
    member.carries = wanted;
    member.with_graph = !wanted.empty() || std::any_of(outputs.begin(), outputs.end(), is_perturbed);
    for (const auto& output : stageScores) {
      auto scores = std::make_unique<Member::Scores>(output, options.data->reader->size());
      scores->scorer.to_device(compute.device);
      member.with_graph |= scores->scorer.moves();
      member.scores.push_back(std::move(scores));
    }
    if (member.with_graph) compute.require_gradients();
  }
  return members;
}

// Before any image is read.
ReadyNetworks open_networks(const ExtractOptions& options, std::vector<Member>& members,
                            const Compute& compute, JobContext& context) {
  std::vector<ReadyNetworks::Wanted> wanted;
  for (size_t i = 0; i < members.size(); ++i)
    wanted.push_back({options.members[i].arch, options.members[i].checkpoint, members[i].with_graph});
  ReadyNetworks networks(wanted, compute, context);
  for (size_t i = 0; i < members.size(); ++i) {
    members[i].network = &networks[i];
    for (const auto& output : options.members[i].outputs) check_output(output, networks[i]);
  }
  return networks;
}

LoaderOptions loader_options(const ExtractOptions& options, const std::vector<Member>& members,
                             ReadyNetworks& networks, JobContext& context) {
  LoaderOptions settings;
  settings.prepare.transform = options.transform;
  settings.batchSize = options.batchSize;
  settings.workers = options.workers;
  bool rounded = true;
  for (size_t i = 0; i < members.size(); ++i) {
    const auto& member = members[i];
    // A step of 0.0014 is lost where pixels were rounded to bfloat16 before it. Rounded after it, some pixels
    // move by more and most not at all, which comes to the same: on published networks the logits then change
    // as they do in float32 (slope 0.97 to 1.01, correlation 0.99).
    rounded &= member.network->begins_with_convolution() && !member.with_graph;
    if (!member.with_graph) continue;
    context.throw_if_aborted();
    const int64_t most = networks.most_images_with_graph(i, options.transform.crop);
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
  auto members = plan_members(options, compute);
  auto networks = open_networks(options, members, compute, context);
  const auto start = std::chrono::steady_clock::now();
  Feed loader(options.data, loader_options(options, members, networks, context), compute);
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
  networks.leave();
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace mode_ensemble
