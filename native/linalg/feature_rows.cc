#include "linalg/feature_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "checkpoint/safetensors.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// Codes and their dot products stay within 32 bits up to here (codes.h).
constexpr int64_t kMostWidth = 65536;

bool finite(const float* values, int64_t n) {
  int32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::bit_cast<int32_t>(values[i]) & 0x7fffffff);
  return largest < 0x7f800000;
}

}  // namespace

FeatureRows::FeatureRows(const std::vector<std::string>& files, const std::string& tensor) : tensor_(tensor) {
  for (const std::string& path : files) {
    Member member{std::make_unique<const MappedFile>(path)};
    const auto header = parse_safetensors(path, member.file->data(), member.file->size());
    const auto* entry = header.find(tensor);
    const auto type = entry ? dtype_from_safetensors(entry->dtype) : std::nullopt;
    if (!entry || (type != DType::f32 && type != DType::f16) || entry->shape.size() != 2)
      throw Error(ErrorCode::data,
                  path + ": expected a float32 or float16 tensor \"" + tensor + "\" [N, D], found " +
                      (entry ? entry->dtype + " with " + std::to_string(entry->shape.size()) + " dimensions."
                             : std::string("none.")));
    if (entry->shape[1] < 1 || entry->shape[1] > kMostWidth)
      throw Error(ErrorCode::data, path + ": expected features in \"" + tensor + "\" of width 1 to " +
                                       std::to_string(kMostWidth) + ", found rows of width " +
                                       std::to_string(entry->shape[1]) + ".");
    if (members_.empty()) {
      rows_ = entry->shape[0];
      width_ = entry->shape[1];
    } else if (entry->shape[0] != rows_ || entry->shape[1] != width_) {
      throw Error(ErrorCode::data, path + ": expected \"" + tensor + "\" of the first member's shape, " +
                                       std::to_string(rows_) + " × " + std::to_string(width_) + ", found " +
                                       std::to_string(entry->shape[0]) + " × " +
                                       std::to_string(entry->shape[1]) + ".");
    }
    member.data = member.file->data() + header.data_offset + entry->begin;
    member.type = *type;
    members_.push_back(std::move(member));
  }
}

void FeatureRows::fuse(int64_t row, float* scratch, float* out) const {
  for (const Member& member : members_) {
    const bool first = &member == &members_.front();
    float* values = first ? out : scratch;
    convert_elements(member.type, member.data + row * width_ * size_of(member.type), DType::f32, values,
                     width_);
    if (!finite(values, width_))
      throw Error(ErrorCode::data, member.file->path() + ": row " + std::to_string(row) + " of \"" + tensor_ +
                                       "\" is not finite.");
    if (!first)
      for (int64_t i = 0; i < width_; ++i) out[i] += values[i];
  }
  constexpr int64_t kLanes = 8;
  const auto members = static_cast<float>(members_.size());
  double sums[kLanes] = {};
  int64_t i = 0;
  const auto mean = [&](int64_t lane) {
    out[i + lane] /= members;
    sums[lane] += static_cast<double>(out[i + lane]) * static_cast<double>(out[i + lane]);
  };
  for (; i + kLanes <= width_; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) mean(lane);
  for (int64_t lane = 0; i + lane < width_; ++lane) mean(lane);
  double square = 0;
  for (const double sum : sums) square += sum;
  if (!std::isfinite(square))
    throw Error(ErrorCode::data, path() + ": row " + std::to_string(row) + " of \"" + tensor_ +
                                     "\": expected a sum over members within float32, found one beyond it.");
  const double scale = 1 / (std::sqrt(square) + 1e-10);
  for (i = 0; i < width_; ++i) out[i] = static_cast<float>(static_cast<double>(out[i]) * scale);
}

}  // namespace mode_ensemble
