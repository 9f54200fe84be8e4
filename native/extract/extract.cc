#include "extract/extract.h"

#include <algorithm>

#include "checkpoint/weights.h"
#include "extract/feature_file.h"
#include "extract/passes.h"
#include "runtime/device.h"
#include "runtime/memory.h"

namespace mode_ensemble {
namespace {

constexpr size_t kSkippedListed = 100;

struct Member {
  std::unique_ptr<Network> network;
  std::vector<std::unique_ptr<FeatureFile>> files;  // one an output
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
    members.push_back({open_network(member.arch, member.checkpoint), {}});
    members.back().files.resize(member.outputs.size());
  }
  const auto start = std::chrono::steady_clock::now();
  LoaderOptions settings;
  settings.prepare.transform = options.transform;
  bool convolutions = true;
  for (const Member& member : members) convolutions &= member.network->begins_with_convolution();
  settings.prepare.type = pixel_type_of(options.precision, convolutions);
  settings.batchSize = options.batchSize;
  settings.workers = options.workers;
  TensorLoader loader(options.data, settings);
  const int64_t size = options.data->reader->size();
  ProgressMeter meter(context, "extract", size);
  ExtractResult result;
  Batch batch;
  while (loader.next(batch)) {
    const int64_t rows = batch.images.size(0);
    Carried carried;
    for (size_t i = 0; i < members.size() && rows > 0; ++i) {
      const auto& [arch, checkpoint, outputs] = options.members[i];
      auto& [network, files] = members[i];
      BatchPasses passes(*network, batch, arch, options.precision);
      for (size_t k = 0; k < outputs.size(); ++k) {
        context.throw_if_aborted();
        const auto columns = make_columns(passes, outputs[k], carried);
        if (!files[k]) files[k] = make_file(outputs[k], *network, columns, size);
        files[k]->append(columns.rows);
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
  for (auto& member : members)
    for (auto& file : member.files) file->commit();
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace mode_ensemble
