#include "data/builtin.h"

#include <cstring>

#include "data/readers.h"
#include "runtime/error.h"
#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kTickEvery = 256;   // images
constexpr int64_t kSummedEvery = 16;  // images

struct Part {
  const char* set;
  const char* split;
  Scene scene;
  uint64_t stream;  // never used twice, so that no two parts share an image
  int64_t size;
};

constexpr Part kParts[] = {
    {"shapes", "train", Scene::shapes, 1, 10000},   {"shapes", "test", Scene::shapes, 2, 2000},
    {"blends", "test", Scene::blends, 3, 2000},     {"unseen", "test", Scene::unseen, 4, 2000},
    {"textures", "test", Scene::textures, 5, 2000}, {"strokes", "test", Scene::strokes, 6, 2000},
};

class BuiltinReader : public Reader {
 public:
  BuiltinReader(const Part& part, const Tick& tick) : part_(part), pixels_(part.size * kBuiltinBytes) {
    if (part.scene == Scene::shapes) {
      class_names_.assign(std::begin(kShapeNames), std::end(kShapeNames));
    } else {
      class_names_.push_back(part.set);
    }
    for (int64_t i = 0; i < part.size; ++i) {
      if (i % kTickEvery == 0) report(tick, i, part.size);
      draw_scene(part.scene, part.stream, i, static_cast<int>(label(i)), pixels_.data() + i * kBuiltinBytes);
    }
    Sha256 sum;
    sum.update("builtin 1 ");
    sum.update(name(0));
    // Every change of the generator touches some of these images, and summing all would take a fifth of the
    // time.
    for (int64_t i = 0; i < part.size; i += kSummedEvery) {
      sum.update(pixels_.data() + i * kBuiltinBytes, kBuiltinBytes);
    }
    fingerprint_ = sum.hex();
  }

  int64_t size() const override { return part_.size; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  // The classes take turns, so any run of ten has each once.
  int64_t label(int64_t index) const override { return index % static_cast<int64_t>(class_names_.size()); }
  std::string name(int64_t index) const override {
    return std::string("builtin ") + part_.set + " " + part_.split + " image " + std::to_string(index);
  }

  void fetch(int64_t index, Sample& sample) const override {
    sample.pixels = {pixels_.data() + index * kBuiltinBytes, kBuiltinSide, kBuiltinSide, 3 * kBuiltinSide};
  }

 private:
  const Part& part_;
  std::vector<std::string> class_names_;
  std::vector<uint8_t> pixels_;  // [size, 32, 32, 3]
  std::string fingerprint_;
};

}  // namespace

std::vector<std::string> builtin_set_names() {
  std::vector<std::string> names;
  for (const Part& part : kParts) {
    if (names.empty() || names.back() != part.set) names.push_back(part.set);
  }
  return names;
}

std::shared_ptr<const Reader> open_builtin(const OpenDataOptions& options, const Tick& tick) {
  refuse_options(options, "a built-in set");
  std::vector<std::string> splits;
  for (const Part& part : kParts) {
    if (options.path != part.set) continue;
    // The OoD sets have one part only, which needs no name.
    if (options.split == part.split || (options.split.empty() && part.scene != Scene::shapes)) {
      return std::make_shared<BuiltinReader>(part, tick);
    }
    splits.push_back(part.split);
  }
  if (splits.empty()) {
    throw Error(ErrorCode::config, "unknown built-in set '" + options.path + "': expected one of " +
                                       listed(builtin_set_names()) + ".");
  }
  throw Error(ErrorCode::config, "the built-in set '" + options.path + "' has the part " + listed(splits) +
                                     ": found '" + options.split + "'.");
}

}  // namespace mode_ensemble
