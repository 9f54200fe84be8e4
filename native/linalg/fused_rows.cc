#include "linalg/fused_rows.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t side : shape) text += (text.empty() ? "[" : ", ") + std::to_string(side);
  return text.empty() ? "[]" : text + "]";
}

[[noreturn]] void unexpected(const std::string& path, const std::string& tensor, const std::string& expected,
                             const TensorEntry* found) {
  throw Error(ErrorCode::data, path + ": expected " + expected + " \"" + printable(tensor) + "\", found " +
                                   (found ? found->dtype + " " + shape_text(found->shape) : "none") + ".");
}

// Adds `from` to `to`; false where a number is NaN or infinite: then all bits of its exponent are set.
bool add_row(const float* from, double* to, int64_t width) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t bad = 0;
  for (int64_t j = 0; j < width; ++j) {
    uint32_t bits;
    std::memcpy(&bits, from + j, sizeof bits);
    bad |= (bits & kExponent) == kExponent ? 1 : 0;
    to[j] += static_cast<double>(from[j]);
  }
  return bad == 0;
}

}  // namespace

TensorSource open_tensors(const std::string& path) {
  TensorSource out{open_file_source(path, ErrorCode::data), {}};
  uint8_t first[8] = {};
  const int64_t size = out.bytes->size();
  out.bytes->read_at(0, first, std::min<int64_t>(8, size));
  try {
    const int64_t length = safetensors_header_length(path, first, size);
    std::vector<uint8_t> text(static_cast<size_t>(length));
    out.bytes->read_at(8, text.data(), length);
    out.header = parse_safetensors_header(path, text.data(), length, size);
  } catch (const Error& error) {
    // The parser is the checkpoints' own; here the file is data.
    throw Error(error.code() == ErrorCode::checkpoint ? ErrorCode::data : error.code(), error.what());
  }
  return out;
}

FusedRows::FusedRows(const std::vector<std::string>& files, const std::string& tensor) : tensor_(tensor) {
  for (const auto& path : files) {
    const auto source = open_tensors(path);
    const auto* entry = source.header.find(tensor);
    if (!entry || (entry->dtype != "F32" && entry->dtype != "F16") || entry->shape.size() != 2 ||
        entry->shape[1] == 0)
      unexpected(path, tensor, "a float32 or float16 tensor [N, D]", entry);
    if (members_.empty()) {
      rows_ = entry->shape[0];
      width_ = entry->shape[1];
    } else if (entry->shape[0] != rows_ || entry->shape[1] != width_) {
      unexpected(path, tensor, "the first member's shape " + shape_text({rows_, width_}) + " for", entry);
    }
    members_.push_back({source.bytes, source.header.data_offset + entry->begin,
                        entry->dtype == "F16" ? at::kHalf : at::kFloat});
  }
}

int64_t FusedRows::block(int64_t doubles) const { return std::max<int64_t>(1, doubles / width_); }

at::Tensor FusedRows::read(int64_t first, int64_t count) const {
  auto sum = at::zeros({count, width_}, at::kDouble);
  double* const to = sum.mutable_data_ptr<double>();
  for (const auto& member : members_) {
    auto rows = at::empty({count, width_}, member.type);
    const int64_t row_bytes = width_ * static_cast<int64_t>(rows.element_size());
    member.bytes->read_at(member.offset + first * row_bytes, rows.mutable_data_ptr(), count * row_bytes);
    rows = rows.to(at::kFloat);
    const float* const from = rows.const_data_ptr<float>();
    // The first bad row, whichever thread comes to it.
    std::atomic<int64_t> bad{count};
    at::parallel_for(0, count, std::max<int64_t>(1, 32768 / width_), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        if (add_row(from + i * width_, to + i * width_, width_)) continue;
        int64_t least = bad.load();
        while (i < least && !bad.compare_exchange_weak(least, i)) {
        }
        return;
      }
    });
    if (bad.load() < count)
      throw Error(ErrorCode::numeric, member.bytes->name() + ": \"" + printable(tensor_) +
                                          "\": expected finite numbers, found NaN or infinity in row " +
                                          std::to_string(first + bad.load()) + ".");
  }
  return members_.size() > 1 ? sum.div_(static_cast<double>(members_.size())) : sum;
}

std::vector<int64_t> read_labels(const std::string& file, int64_t classes) {
  const auto source = open_tensors(file);
  const auto* entry = source.header.find("labels");
  if (!entry || entry->dtype != "I64" || entry->shape.size() != 1)
    unexpected(file, "labels", "an int64 tensor [N]", entry);
  std::vector<int64_t> labels(static_cast<size_t>(entry->shape[0]));
  source.bytes->read_at(source.header.data_offset + entry->begin, labels.data(), entry->end - entry->begin);
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] < 0 || labels[i] >= classes)
      throw Error(ErrorCode::data, file + ": \"labels\": expected classes from 0 to " +
                                       std::to_string(classes - 1) + ", found " + std::to_string(labels[i]) +
                                       " in row " + std::to_string(i) + ".");
  return labels;
}

}  // namespace mode_ensemble
