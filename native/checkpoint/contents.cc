#include "checkpoint/contents.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace mode_ensemble {

int64_t TensorInfo::elements() const {
  // A size of 0 first: the others of such a shape may be anything.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

std::vector<int64_t> row_major_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return strides;
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

void set_weights(Contents& contents, const std::string& file,
                 const std::vector<std::pair<std::string, size_t>>& named) {
  constexpr std::string_view wrapper = "module.";
  contents.weights.clear();
  contents.weights.reserve(named.size());
  std::unordered_set<std::string_view> seen;
  for (const auto& [full, tensor] : named) {
    size_t at = 0;
    while (full.compare(at, wrapper.size(), wrapper) == 0) at += wrapper.size();
    contents.weights.push_back({full.substr(at), tensor});
    if (!seen.insert(contents.weights.back().name).second) {
      contents.weights_error = file + ": \"" + contents.weights.back().name +
                               "\" is there twice (names count without \"module.\" in front).";
      contents.weights.clear();
      return;
    }
  }
}

}  // namespace mode_ensemble
