#include "checkpoint/safetensors.h"

#include <algorithm>
#include <set>

#include "checkpoint/dtype.h"
#include "checkpoint/json.h"
#include "runtime/error.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

// The format allows headers of 100 MB; real ones are below one, and these limits keep a hostile one small in
// memory.
constexpr int64_t kMaxHeader = 16 << 20;
constexpr size_t kMaxTensors = 100'000, kMaxMetadata = 10'000, kMaxName = 4096;
constexpr int kMaxDimensions = 16;

[[noreturn]] void fail(const std::string& file, const std::string& message) {
  throw Error(ErrorCode::checkpoint, file + ": " + message);
}

TensorEntry read_entry(JsonCursor& json, const std::string& name) {
  TensorEntry entry;
  entry.name = name;
  bool has_dtype = false, has_shape = false, has_offsets = false;
  json.expect('{');
  do {
    const std::string key = json.string();
    json.expect(':');
    if (key == "dtype" && !has_dtype) {
      entry.dtype = json.string();
      has_dtype = true;
    } else if (key == "shape" && !has_shape) {
      json.expect('[');
      if (!json.take(']')) {
        do {
          if (entry.shape.size() == kMaxDimensions) json.fail("at most 16 dimensions");
          entry.shape.push_back(json.whole_number());
        } while (json.take(','));
        json.expect(']');
      }
      has_shape = true;
    } else if (key == "data_offsets" && !has_offsets) {
      json.expect('[');
      entry.begin = json.whole_number();
      json.expect(',');
      entry.end = json.whole_number();
      json.expect(']');
      has_offsets = true;
    } else {
      json.fail("each of dtype, shape and data_offsets once, before this");
    }
  } while (json.take(','));
  json.expect('}');
  if (!has_dtype || !has_shape || !has_offsets)
    json.fail("dtype, shape and data_offsets of \"" + printable(name) + "\"");
  return entry;
}

}  // namespace

int64_t TensorEntry::elements() const {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

const TensorEntry* SafetensorsHeader::find(const std::string& name) const {
  for (const auto& entry : tensors)
    if (entry.name == name) return &entry;
  return nullptr;
}

int64_t dtype_size(const std::string& dtype) {
  const auto type = dtype_from_safetensors(dtype);
  return type ? size_of(*type) : 0;
}

int64_t safetensors_header_length(const std::string& file, const uint8_t* first, int64_t file_size) {
  if (file_size < 8)
    fail(file, "expected a safetensors file of at least 8 bytes, found " + std::to_string(file_size) + ".");
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = (length << 8) | first[i];
  if (length > static_cast<uint64_t>(file_size - 8))
    fail(file, "byte 0: not a whole safetensors file: its first 8 bytes give a header of " +
                   std::to_string(length) + " bytes, and the file has " + std::to_string(file_size) + ".");
  if (length > static_cast<uint64_t>(kMaxHeader))
    fail(file, "byte 0: expected a safetensors header of at most " + std::to_string(kMaxHeader) +
                   " bytes, found " + std::to_string(length) + ".");
  return static_cast<int64_t>(length);
}

SafetensorsHeader parse_safetensors(const std::string& file, const uint8_t* data, int64_t size) {
  const int64_t length = safetensors_header_length(file, data, size);
  return parse_safetensors_header(file, data + 8, length, size);
}

SafetensorsHeader parse_safetensors_header(const std::string& file, const uint8_t* bytes, int64_t length,
                                           int64_t size) {
  SafetensorsHeader header;
  header.data_offset = 8 + length;
  JsonCursor json(file, {reinterpret_cast<const char*>(bytes), static_cast<size_t>(length)}, 8);
  std::set<std::string> seen;
  json.expect('{');
  if (!json.take('}')) {
    do {
      const std::string name = json.string();
      if (name.size() > kMaxName) json.fail("a name of at most 4096 bytes, before this");
      if (header.tensors.size() == kMaxTensors) json.fail("at most 100000 tensors");
      if (!seen.insert(name).second)
        json.fail("each name once, before this; \"" + printable(name) + "\" came twice");
      json.expect(':');
      if (name != "__metadata__") {
        header.tensors.push_back(read_entry(json, name));
        continue;
      }
      json.expect('{');
      if (json.take('}')) continue;
      do {
        const std::string key = json.string();
        json.expect(':');
        header.metadata[key] = json.string();
        if (header.metadata.size() > kMaxMetadata) json.fail("at most 10000 entries of metadata");
      } while (json.take(','));
      json.expect('}');
    } while (json.take(','));
    json.expect('}');
  }
  json.end();

  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const TensorEntry& a, const TensorEntry& b) {
                     return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
                   });
  int64_t at = 0;
  for (const auto& entry : header.tensors) {
    const std::string what =
        "byte " + std::to_string(header.data_offset + at) + ": tensor \"" + printable(entry.name) + "\": ";
    const int64_t item = dtype_size(entry.dtype);
    if (item == 0) fail(file, what + "expected a known dtype, found \"" + printable(entry.dtype) + "\".");
    int64_t bytes = item;
    for (const int64_t d : entry.shape)
      if (__builtin_mul_overflow(bytes, d, &bytes)) fail(file, what + "its shape is too large.");
    if (entry.begin != at)
      fail(file, what + "expected its data at byte " + std::to_string(at) + " behind the header, found " +
                     std::to_string(entry.begin) + ".");
    if (entry.end < entry.begin || entry.end - entry.begin != bytes)
      fail(file, what + "its shape and dtype need " + std::to_string(bytes) + " bytes, its offsets give " +
                     std::to_string(entry.end - entry.begin) + ".");
    at = entry.end;
    if (at > size - header.data_offset) break;
  }
  const int64_t expected = header.data_offset + at;
  if (expected != size)
    fail(file, "byte " + std::to_string(std::min(expected, size)) + ": expected " + std::to_string(expected) +
                   (expected > size ? " bytes or more" : " bytes") + " as its header says, found " +
                   std::to_string(size) + ".");
  return header;
}

std::string layout_safetensors(std::vector<TensorEntry>& tensors,
                               const std::map<std::string, std::string>& metadata, int64_t at_least) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    bool first = true;
    for (const auto& [key, value] : metadata) {
      json += (first ? "" : ",") + json_quote(key) + ":" + json_quote(value);
      first = false;
    }
    json += "}";
  }
  int64_t at = 0;
  for (auto& entry : tensors) {
    entry.begin = at;
    at += entry.elements() * dtype_size(entry.dtype);
    entry.end = at;
    if (json.size() > 1) json += ",";
    json += json_quote(entry.name) + ":{\"dtype\":" + json_quote(entry.dtype) + ",\"shape\":[";
    for (size_t i = 0; i < entry.shape.size(); ++i) json += (i ? "," : "") + std::to_string(entry.shape[i]);
    json += "],\"data_offsets\":[" + std::to_string(entry.begin) + "," + std::to_string(entry.end) + "]}";
  }
  json += "}";
  while (json.size() % 8 != 0 || static_cast<int64_t>(json.size()) + 8 < at_least) json += ' ';
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i)
    bytes[i] = static_cast<char>((static_cast<uint64_t>(json.size()) >> (8 * i)) & 255);
  return bytes + json;
}

}  // namespace mode_ensemble
