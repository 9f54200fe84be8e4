#include "extract/extract.h"

#include "checkpoint/weights.h"
#include "data/loader.h"
#include "extract/feature_file.h"
#include "models/network.h"
#include "runtime/device.h"
#include "runtime/memory.h"

namespace mode_ensemble {
namespace {

struct Member {
  std::unique_ptr<Network> network;
  std::unique_ptr<FeatureFile> file;
};

std::vector<at::Tensor> pass(Network& network, const Batch& batch, const std::string& precision) {
  const Autocast autocast(precision);
  const auto result = network.forward(batch.images, /*training=*/false, /*want_stages=*/true);
  const auto logits = result.logits.to(at::kFloat).contiguous();
  std::vector<at::Tensor> rows{batch.labels, logits.argmax(1), logits};
  for (const auto& stage : result.stages)
    rows.push_back(at::mean(stage, {2, 3}, false, at::kFloat).contiguous());
  return rows;
}

// The 8-byte columns first: every section then begins at a multiple of its item's size.
std::vector<TensorEntry> columns_of(const std::vector<at::Tensor>& rows) {
  std::vector<TensorEntry> columns{{"labels", "I64", {}}, {"predictions", "I64", {}}};
  for (size_t i = 2; i < rows.size(); ++i)
    columns.push_back(
        {i == 2 ? "logits" : "stage" + std::to_string(i - 2), "F32", rows[i].sizes().slice(1).vec()});
  return columns;
}

}  // namespace

ExtractResult extract(const ExtractOptions& options, JobContext& context) {
  if (options.batchSize < 1)
    throw Error(ErrorCode::config,
                "batchSize: expected at least 1, found " + std::to_string(options.batchSize) + ".");
  use_threads(options.threads);
  const MemoryReuse reuse;
  const c10::NoGradGuard no_grad;
  std::vector<Member> members;
  for (const auto& member : options.members) {
    context.throw_if_aborted();
    auto network = make_network(options.arch, 0);
    load_weights(*network, member.checkpoint);
    network->to_channels_last();
    members.push_back({std::move(network), nullptr});
  }
  const auto start = std::chrono::steady_clock::now();
  LoaderOptions settings;
  settings.transform = options.transform;
  settings.batchSize = options.batchSize;
  settings.workers = options.workers;
  Loader loader(options.data, settings);
  const int64_t size = options.data->reader->size();
  ProgressMeter meter(context, "extract", size);
  ExtractResult result;
  Batch batch;
  int64_t seen = 0;
  while (loader.next(batch)) {
    const int64_t rows = batch.images.size(0);
    for (size_t i = 0; i < members.size() && rows > 0; ++i) {
      context.throw_if_aborted();
      const auto features = pass(*members[i].network, batch, options.precision);
      if (!members[i].file)
        members[i].file = std::make_unique<FeatureFile>(options.members[i].output, columns_of(features), size,
                                                        options.members[i].metadata);
      members[i].file->append(features);
    }
    result.count += rows;
    const int64_t read = std::min(options.batchSize, size - seen);
    seen += read;
    meter.add(read);
  }
  result.skipped = loader.skipped();
  result.skippedCount = static_cast<int64_t>(result.skipped.size());
  if (result.skipped.size() > 100) result.skipped.resize(100);
  if (result.count == 0) throw Error(ErrorCode::data, "No image of the set could be read.");
  context.throw_if_aborted();
  for (auto& member : members) member.file->commit();
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace mode_ensemble
