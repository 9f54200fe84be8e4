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

void set_weights(Contents& contents, const std::string& file, int64_t offset, std::vector<WeightName> named) {
  // What torch.nn.DataParallel and torch.compile put in front.
  constexpr std::string_view wrappers[] = {"module.", "_orig_mod."};
  std::unordered_set<std::string_view> seen;
  for (WeightName& weight : named) {
    size_t at = 0;
    for (bool again = true; again;) {
      again = false;
      for (const auto wrapper : wrappers) {
        if (weight.name.compare(at, wrapper.size(), wrapper) != 0) continue;
        at += wrapper.size();
        again = true;
      }
    }
    weight.name.erase(0, at);
    if (seen.insert(weight.name).second) continue;
    contents.weights_error =
        file + ": byte " + std::to_string(offset) + ": \"" + weight.name +
        "\" is there twice (names count without \"module.\" and \"_orig_mod.\" in front).";
    return;
  }
  contents.weights = std::move(named);
}

}  // namespace mode_ensemble
