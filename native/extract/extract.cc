#include "extract/extract.h"

#include <algorithm>

#include "checkpoint/weights.h"
#include "data/tensor_loader.h"
#include "extract/feature_file.h"
#include "models/layers.h"
#include "models/network.h"
#include "runtime/device.h"
#include "runtime/memory.h"

namespace mode_ensemble {
namespace {

constexpr size_t kSkippedListed = 100;

struct Member {
  std::unique_ptr<Network> network;
  std::unique_ptr<FeatureFile> file;
};

struct Columns {
  std::vector<std::string> names;
  std::vector<at::Tensor> rows;  // [n, ...], float32 or int64, contiguous

  void add(std::string name, const at::Tensor& tensor) {
    names.push_back(std::move(name));
    rows.push_back(tensor.contiguous());
  }
};

// The 8-byte columns first: every section of the file then begins at a multiple of its item's size.
Columns pass(Network& network, const Batch& batch, int64_t classes, const std::string& precision) {
  const Autocast autocast(precision);
  const auto result = network.forward(batch.images, /*training=*/false, /*want_stages=*/true);
  const auto logits = result.logits.to(at::kFloat);
  if (logits.size(1) != classes)
    throw Error(ErrorCode::checkpoint, "The network gives " + std::to_string(logits.size(1)) +
                                           " logits, expected " + std::to_string(classes) +
                                           ", as many as the data has classes.");
  Columns columns;
  columns.add("labels", batch.labels);
  columns.add("predictions", logits.argmax(1));
  columns.add("logits", logits);
  for (size_t k = 0; k < result.stages.size(); ++k)
    columns.add("stage" + std::to_string(k + 1), global_average(result.stages[k]));
  if (network.penultimate_stage() == 0 && result.penultimate.defined())
    columns.add("penultimate", result.penultimate.to(at::kFloat));
  return columns;
}

std::unique_ptr<FeatureFile> make_file(const ExtractMember& member, const Network& network,
                                       const Columns& columns, int64_t capacity) {
  std::vector<TensorEntry> entries;
  for (size_t i = 0; i < columns.rows.size(); ++i)
    entries.push_back({columns.names[i], columns.rows[i].scalar_type() == at::kLong ? "I64" : "F32",
                       columns.rows[i].sizes().slice(1).vec()});
  // The network knows which stage its last layer reads; who reads the file is told here.
  auto metadata = member.metadata;
  const int stage = network.penultimate_stage();
  const bool own =
      std::find(columns.names.begin(), columns.names.end(), "penultimate") != columns.names.end();
  metadata["penultimate"] = own ? "penultimate" : stage > 0 ? "stage" + std::to_string(stage) : "";
  return std::make_unique<FeatureFile>(member.output, std::move(entries), capacity, std::move(metadata));
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
    members.push_back({open_network(options.arch, member.checkpoint), nullptr});
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
    for (size_t i = 0; i < members.size() && rows > 0; ++i) {
      context.throw_if_aborted();
      const auto columns = pass(*members[i].network, batch, options.arch.classes, options.precision);
      if (!members[i].file)
        members[i].file = make_file(options.members[i], *members[i].network, columns, size);
      members[i].file->append(columns.rows);
    }
    result.count += rows;
    meter.add(batch.read);
  }
  result.skippedCount = loader.loader().skipped_count();
  for (const BadImage& image : loader.loader().skipped())
    if (result.skipped.size() < kSkippedListed) result.skipped.push_back(image);
  if (result.count == 0) throw Error(ErrorCode::data, "No image of the set could be read.");
  context.throw_if_aborted();
  for (auto& member : members) member.file->commit();
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace mode_ensemble
