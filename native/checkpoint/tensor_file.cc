#include "checkpoint/tensor_file.h"

#include <cstring>

#include "checkpoint/safetensors.h"
#include "runtime/error.h"
#include "runtime/files.h"

namespace mode_ensemble {

void write_tensors(const std::string& path, const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                   const std::map<std::string, std::string>& metadata) {
  std::vector<TensorEntry> entries;
  for (const auto& [name, tensor] : tensors)
    entries.push_back({name, tensor.scalar_type() == at::kLong ? "I64" : "F32", tensor.sizes().vec()});
  const std::string head = layout_safetensors(entries, metadata);
  AtomicFile file(path);
  file.write_at(0, head.data(), static_cast<int64_t>(head.size()));
  for (size_t i = 0; i < entries.size(); ++i) {
    auto tensor = tensors[i].second.detach().cpu();
    if (tensor.scalar_type() != at::kLong) tensor = tensor.to(at::kFloat);
    tensor = tensor.contiguous(at::MemoryFormat::Contiguous);
    file.write_at(static_cast<int64_t>(head.size()) + entries[i].begin, tensor.const_data_ptr(),
                  entries[i].end - entries[i].begin);
  }
  file.commit();
}

std::map<std::string, at::Tensor> read_tensors(const std::string& path,
                                               const std::vector<std::string>& names) {
  const MappedFile file(path);
  const auto header = parse_safetensors(path, file.data(), file.size());
  std::map<std::string, at::Tensor> out;
  for (const auto& name : names) {
    const auto* entry = header.find(name);
    if (!entry) throw Error(ErrorCode::checkpoint, path + ": expected a tensor \"" + name + "\".");
    if (entry->dtype != "F32" && entry->dtype != "I64")
      throw Error(ErrorCode::checkpoint,
                  path + ": tensor \"" + name + "\": expected F32 or I64, found " + entry->dtype + ".");
    auto tensor = at::empty(entry->shape, entry->dtype == "I64" ? at::kLong : at::kFloat);
    std::memcpy(tensor.mutable_data_ptr(), file.data() + header.data_offset + entry->begin,
                static_cast<size_t>(entry->end - entry->begin));
    out.emplace(name, std::move(tensor));
  }
  return out;
}

}  // namespace mode_ensemble
