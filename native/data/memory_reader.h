// A set whose images all have one size and live decoded in memory: CIFAR-10 takes 154 MB and 31 MB.
#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "data/reader.h"

namespace mode_ensemble {

// A file of the set, and the index of the first image that came from it.
struct MemoryPart {
  std::string path;
  int64_t first = 0;
};

struct MemoryImages {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;    // [N, height, width, 3]
  std::vector<int32_t> labels;    // [N], checked against class_names
  std::vector<MemoryPart> parts;  // by `first`, which begins with 0
  std::vector<std::string> class_names;
  std::string fingerprint;
};

class MemoryReader : public Reader {
 public:
  explicit MemoryReader(MemoryImages images) : images_(std::move(images)) {}

  int64_t size() const override { return static_cast<int64_t>(images_.labels.size()); }
  const std::vector<std::string>& class_names() const override { return images_.class_names; }
  const std::string& fingerprint() const override { return images_.fingerprint; }
  int64_t label(int64_t index) const override { return images_.labels[static_cast<size_t>(index)]; }

  std::string name(int64_t index) const override {
    const auto after = std::upper_bound(images_.parts.begin(), images_.parts.end(), index,
                                        [](int64_t at, const MemoryPart& part) { return at < part.first; });
    const MemoryPart& part = *std::prev(after);
    return part.path + " record " + std::to_string(index - part.first);
  }

  void fetch(int64_t index, Sample& sample) const override {
    const size_t row = size_t{3} * static_cast<size_t>(images_.width);
    const size_t bytes = row * static_cast<size_t>(images_.height);
    sample.pixels = {images_.pixels.data() + static_cast<size_t>(index) * bytes, images_.width,
                     images_.height, row};
  }

 private:
  MemoryImages images_;
};

}  // namespace mode_ensemble
