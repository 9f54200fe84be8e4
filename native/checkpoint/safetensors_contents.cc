// A safetensors file as a checkpoint: all its tensors are weights.
#include "checkpoint/formats.h"
#include "checkpoint/safetensors.h"
#include "runtime/printable.h"

namespace mode_ensemble {

void read_safetensors(const ByteSource& source, const std::string& want, Contents& contents) {
  uint8_t first[8] = {};
  source.read_at(0, first, source.size() < 8 ? source.size() : 8);
  const int64_t length = safetensors_header_length(source.name(), first, source.size());
  std::vector<uint8_t> bytes(static_cast<size_t>(length));
  source.read_at(8, bytes.data(), length);
  SafetensorsHeader header = parse_safetensors_header(source.name(), bytes.data(), length, source.size());

  contents.format = "safetensors";
  contents.metadata = std::move(header.metadata);
  StoragePlace& data = contents.storages.emplace_back();
  data.name = "data";
  data.offset = header.data_offset;
  data.size = source.size() - header.data_offset;
  std::vector<WeightName> named;
  for (TensorEntry& entry : header.tensors) {
    const std::string name = printable(entry.name);
    named.push_back({name, contents.tensors.size()});
    TensorPlace& place = contents.places.emplace_back();
    place.first_byte = entry.begin;
    contents.tensors.push_back({name, *dtype_from_safetensors(entry.dtype), std::move(entry.shape)});
    place.strides = row_major_strides(contents.tensors.back().shape);
  }
  if (!want.empty())
    contents.weights_error = source.name() + ": byte 8: expected weights in \"" + printable(want) +
                             "\", found a safetensors file, which has no such entries.";
  else if (named.empty())
    contents.weights_error = source.name() + ": byte 8: expected a network's weights, found no tensor.";
  else
    set_weights(contents, source.name(), 8, std::move(named));
}

}  // namespace mode_ensemble
