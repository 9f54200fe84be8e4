// Images and labels in .npy files, such as those of CIFAR-10-C (https://github.com/hendrycks/robustness).
#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "data/files.h"
#include "data/memory_reader.h"
#include "data/npy_file.h"
#include "data/readers.h"
#include "runtime/error.h"
#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxHeld = int64_t{1} << 30;  // bytes of pixels; larger sets stay in the file
constexpr int32_t kMaxLabel = 9999;
constexpr int64_t kTickEvery = 4096;                   // images
constexpr int64_t kSamples = 256, kSample = 64 << 10;  // of a large file, for its fingerprint

// Reads each image where it is asked for.
class NpyFileReader : public Reader {
 public:
  NpyFileReader(std::shared_ptr<const ByteSource> source, NpyImages images, MemoryImages rest)
      : source_(std::move(source)), images_(std::move(images)), rest_(std::move(rest)) {}

  int64_t size() const override { return images_.count; }
  const std::vector<std::string>& class_names() const override { return rest_.class_names; }
  int64_t label(int64_t index) const override { return rest_.labels[static_cast<size_t>(index)]; }
  const std::string& fingerprint() const override { return rest_.fingerprint; }
  std::string name(int64_t index) const override {
    return source_->name() + " record " + std::to_string(index);
  }
  void fetch(int64_t index, Sample& sample) const override {
    sample.buffer.resize(3 * images_.pixels());
    read_npy_image(*source_, images_, index, sample.buffer.data());
    sample.pixels = {sample.buffer.data(), images_.width, images_.height,
                     size_t{3} * static_cast<size_t>(images_.width)};
  }

 private:
  std::shared_ptr<const ByteSource> source_;
  NpyImages images_;
  MemoryImages rest_;  // without pixels
};

// Where the labels are: as asked for, or a file beside the images; "" where there is none.
fs::path find_labels(const OpenDataOptions& options) {
  const fs::path images = options.path, folder = images.parent_path();
  if (!options.labels.empty()) return folder / options.labels;
  const std::string stem = images.stem().string();
  for (const std::string& name : {stem + "-labels.npy", stem + "_labels.npy", std::string("labels.npy")}) {
    std::error_code failure;
    if (fs::is_regular_file(folder / name, failure)) return folder / name;
  }
  return {};
}

void read_labels(const OpenDataOptions& options, int64_t count, MemoryImages& images) {
  const fs::path path = find_labels(options);
  if (path.empty()) {
    images.labels.resize(static_cast<size_t>(count));
    images.class_names = numbered_names(1);
    return;
  }
  images.labels = read_npy_labels(*open_data_file(path.string()), count, kMaxLabel);
  const int32_t last = *std::max_element(images.labels.begin(), images.labels.end());
  const std::string names = class_file_beside(options.path);
  std::error_code failure;
  if (fs::exists(names, failure)) {
    images.class_names = read_class_names(names);
    if (images.class_names.size() <= static_cast<size_t>(last))
      throw Error(ErrorCode::data, names + ": expected at least " + std::to_string(last + 1) +
                                       " class names, one a line, since there are labels to " +
                                       std::to_string(last) + ", found " +
                                       std::to_string(images.class_names.size()) + ".");
    return;
  }
  images.class_names = numbered_names(last + 1);
}

void add_sample(const ByteSource& source, const NpyImages& images, Sha256& sum) {
  const int64_t size = images.header.elements, step = std::max<int64_t>(1, (size - kSample) / (kSamples - 1));
  std::vector<uint8_t> piece(static_cast<size_t>(kSample));
  sum.update_number(static_cast<uint64_t>(source.size()));
  for (int64_t at = 0; at <= size - kSample; at += step) {
    source.read_at(images.header.data + at, piece.data(), kSample);
    sum.update(piece.data(), piece.size());
  }
}

}  // namespace

std::shared_ptr<const Reader> open_npy(const OpenDataOptions& options, const Tick& tick) {
  refuse_options(options, "a .npy file", true);
  if (!options.split.empty())
    throw Error(ErrorCode::config, "a .npy file has no splits: found '" + options.split + "'.");
  std::shared_ptr<const ByteSource> source = open_data_file(options.path);
  NpyImages images = check_npy_images(*source);
  MemoryImages held;
  held.width = images.width;
  held.height = images.height;
  held.parts.push_back({options.path, 0});
  read_labels(options, images.count, held);

  Sha256 sum;
  sum.update("npy 1");
  sum.update_number(static_cast<uint64_t>(images.width));
  sum.update_number(static_cast<uint64_t>(images.height));
  for (const int32_t label : held.labels) sum.update_number(static_cast<uint64_t>(label));
  const auto bytes = static_cast<int64_t>(3 * images.pixels());
  if (images.count > kMaxHeld / bytes) {
    add_sample(*source, images, sum);
    held.fingerprint = sum.hex();
    return std::make_shared<NpyFileReader>(std::move(source), std::move(images), std::move(held));
  }
  held.pixels.resize(static_cast<size_t>(images.count * bytes));
  for (int64_t i = 0; i < images.count; ++i) {
    if (i % kTickEvery == 0) report(tick, i, images.count);
    read_npy_image(*source, images, i, held.pixels.data() + i * bytes);
  }
  sum.update(held.pixels.data(), held.pixels.size());
  held.fingerprint = sum.hex();
  return std::make_shared<MemoryReader>(std::move(held));
}

}  // namespace mode_ensemble
