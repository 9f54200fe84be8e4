#include "checkpoint/convert.h"

#include <algorithm>

#include "checkpoint/safetensors.h"
#include "checkpoint/torch_writer.h"
#include "checkpoint/weights.h"
#include "runtime/error.h"
#include "runtime/files.h"

namespace mode_ensemble {
namespace {

// One tensor of the output and where it comes from: nowhere for a batch counter that the input does not have.
struct Item {
  TensorInfo info;
  std::optional<size_t> source;
};

bool is_real(DType type) { return type == DType::f64 || type == DType::f16 || type == DType::bf16; }

std::vector<Item> plan(const ConvertOptions& options, const Checkpoint& checkpoint) {
  std::vector<Item> items;
  if (!options.arch) {
    for (const auto& weight : checkpoint.weights()) {
      const auto& stored = checkpoint.tensors()[weight.tensor];
      const bool widens = options.float32 && is_real(stored.dtype);
      items.push_back({{weight.name, widens ? DType::f32 : stored.dtype, stored.shape}, weight.tensor});
    }
    return items;
  }
  auto arch = *options.arch;
  if (arch.classes == 0) arch.classes = std::max<int64_t>(classes_of(arch, checkpoint), 1);
  const auto network = make_network(arch, {Init::shapes});
  const auto tensors = match_weights(*network, checkpoint);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& weight = network->weights()[i];
    const auto type = weight.tensor.scalar_type() == at::kLong ? DType::i64 : DType::f32;
    items.push_back({{weight.name, type, weight.tensor.sizes().vec()}, tensors[i]});
  }
  return items;
}

}  // namespace

ConvertResult convert(const ConvertOptions& options, JobContext& context) {
  const auto checkpoint = Checkpoint::open(options.input, options.dictionary);
  const auto items = plan(options, *checkpoint);
  ConvertResult result{static_cast<int64_t>(items.size()), 0};
  std::vector<char> buffer;  // one tensor at a time
  const auto content = [&](const Item& item) -> const void* {
    context.throw_if_aborted();
    const int64_t bytes = item.info.elements() * size_of(item.info.dtype);
    buffer.assign(static_cast<size_t>(bytes), 0);
    if (item.source) checkpoint->read(*item.source, item.info.dtype, buffer.data());
    result.bytes += bytes;
    return buffer.data();
  };
  if (options.format == "torch") {
    std::vector<TensorToWrite> tensors;
    for (const auto& item : items) tensors.push_back({item.info, [&] { return content(item); }});
    write_torch_zip(options.output, tensors, options.metadata);
    return result;
  }
  std::vector<TensorEntry> entries;
  for (const auto& item : items) {
    const std::string dtype = safetensors_name(item.info.dtype);
    if (dtype.empty())
      throw Error(ErrorCode::checkpoint, options.input + ": tensor \"" + item.info.name +
                                             "\": safetensors has no type for its " +
                                             dtype_name(item.info.dtype) + " elements.");
    entries.push_back({item.info.name, dtype, item.info.shape});
  }
  const std::string head = layout_safetensors(entries, options.metadata);
  AtomicFile file(options.output);
  file.write_at(0, head.data(), static_cast<int64_t>(head.size()));
  for (size_t i = 0; i < items.size(); ++i)
    file.write_at(static_cast<int64_t>(head.size()) + entries[i].begin, content(items[i]),
                  entries[i].end - entries[i].begin);
  file.commit();
  return result;
}

Inspection inspect(const InspectOptions& options, JobContext& context) {
  Inspection result;
  result.checkpoint = Checkpoint::open(options.path, options.dictionary);
  context.throw_if_aborted();
  try {
    result.checkpoint->weights();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::checkpoint) throw;
    result.problem = error.what();
    return result;
  }
  if (options.identify) result.fits = identify(*result.checkpoint);
  return result;
}

}  // namespace mode_ensemble
