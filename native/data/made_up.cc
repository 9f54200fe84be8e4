// Images without files, for measuring how fast a network trains: noise, of which a few are drawn and shown
// again and again. `made-up:SIDE/CLASSES/IMAGES`; the part for testing has a tenth of the images.
#include <algorithm>
#include <array>
#include <charconv>

#include "data/readers.h"
#include "runtime/error.h"
#include "runtime/random.h"
#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kDrawn = 64;
constexpr std::array<int64_t, 3> kMost{4096, 1'000'000, int64_t{1} << 40};  // side, classes, images

class MadeUpReader final : public Reader {
 public:
  MadeUpReader(const std::array<int64_t, 3>& numbers, const std::string& path, bool is_test)
      : side_(static_cast<int>(numbers[0])),
        size_(is_test ? std::max<int64_t>(1, numbers[2] / 10) : numbers[2]),
        pixels_(static_cast<size_t>(kDrawn) * bytes()) {
    for (int64_t i = 0; i < numbers[1]; ++i) class_names_.push_back(std::to_string(i));
    RandomStream random(0, "made-up");
    for (auto& pixel : pixels_) pixel = static_cast<uint8_t>(random.next() >> 56);
    Sha256 sum;
    sum.update("made-up 1 " + path + (is_test ? " test" : " train"));
    fingerprint_ = sum.hex();
  }

  int64_t size() const override { return size_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  int64_t label(int64_t index) const override { return index % static_cast<int64_t>(class_names_.size()); }
  std::string name(int64_t index) const override { return "made-up image " + std::to_string(index); }
  void fetch(int64_t index, Sample& sample) const override {
    sample.pixels = {pixels_.data() + static_cast<size_t>(index % kDrawn) * bytes(), side_, side_,
                     size_t{3} * static_cast<size_t>(side_)};
  }

 private:
  size_t bytes() const { return size_t{3} * static_cast<size_t>(side_) * static_cast<size_t>(side_); }

  int side_;
  int64_t size_;
  std::vector<uint8_t> pixels_;  // [kDrawn, side, side, 3]
  std::vector<std::string> class_names_;
  std::string fingerprint_;
};

}  // namespace

std::shared_ptr<const Reader> open_made_up(const OpenDataOptions& options, const Tick&) {
  refuse_options(options, "made-up images");
  const std::string& path = options.path;
  std::array<int64_t, 3> numbers{};
  const char *at = path.data(), *end = at + path.size();
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto found = std::from_chars(at, end, numbers[i]);
    const bool goes_on = i + 1 < numbers.size();
    const bool ends_well = goes_on ? found.ptr != end && *found.ptr == '/' : found.ptr == end;
    if (found.ec != std::errc() || !ends_well || numbers[i] < 1 || numbers[i] > kMost[i])
      throw Error(ErrorCode::config,
                  "made-up:" + path +
                      ": expected SIDE/CLASSES/IMAGES, for instance 224/1000/6400, with at "
                      "most 4096 pixels and 1000000 classes.");
    at = found.ptr + (goes_on ? 1 : 0);
  }
  return std::make_shared<MadeUpReader>(numbers, path, options.split == "test");
}

}  // namespace mode_ensemble
