// The safetensors format (https://github.com/huggingface/safetensors, "Format"): 8 bytes little-endian header
// length, a JSON header, the tensors' bytes. No LibTorch here; shapes and offsets only.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mode_ensemble {

struct TensorEntry {
  std::string name;
  std::string dtype;  // F32, I64, …
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  // bytes from the end of the header

  int64_t elements() const;
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // ordered by offset
  std::map<std::string, std::string> metadata;
  int64_t data_offset = 0;  // bytes from the start of the file

  const TensorEntry* find(const std::string& name) const;
};

// Bytes of one element, or 0 for a type that is not known.
int64_t dtype_size(const std::string& dtype);

// `data`, `size`: the whole file. Throws Error(checkpoint) that names the file and what is wrong; checks that
// the tensors lie within the file, do not overlap and leave no gap, before any memory is taken for them.
SafetensorsHeader parse_safetensors(const std::string& file, const uint8_t* data, int64_t size);

// The same with only the header in memory: the length that the first 8 bytes (or fewer, if the file has
// fewer) give, checked against the file's size, and what the `length` bytes behind them say.
int64_t safetensors_header_length(const std::string& file, const uint8_t* first, int64_t file_size);
SafetensorsHeader parse_safetensors_header(const std::string& file, const uint8_t* header, int64_t length,
                                           int64_t file_size);

// Sets the entries' offsets, one behind the other, and gives the file's first bytes (length and header,
// padded with spaces so that the data begin at a multiple of 8, and to `at_least` bytes).
std::string layout_safetensors(std::vector<TensorEntry>& tensors,
                               const std::map<std::string, std::string>& metadata, int64_t at_least = 0);

}  // namespace mode_ensemble
