// CIFAR-10 as published for C programs (https://www.cs.toronto.edu/~kriz/cifar.html): files of records of one
// label byte and 3,072 pixel bytes, the red plane first, then green, then blue, each 32 rows of 32. The whole
// set is held in memory.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "data/files.h"
#include "data/memory_reader.h"
#include "data/readers.h"
#include "runtime/error.h"
#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 32;
constexpr size_t kPlane = kSide * kSide;
constexpr size_t kRecord = 1 + 3 * kPlane;
constexpr int kClasses = 10;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;  // the published files have 30,730,000
const char* const kOfficialNames[kClasses] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                              "dog",      "frog",       "horse", "ship", "truck"};
const char* const kFolderName = "cifar-10-batches-bin";  // in the published archive

struct Batch {
  std::string path;
  std::vector<uint8_t> bytes;
};

// Planes become interleaved pixels once, here, so that no pass has to do it again.
MemoryImages interleaved(std::vector<Batch> batches, std::vector<std::string> class_names) {
  MemoryImages images;
  images.width = images.height = kSide;
  images.class_names = std::move(class_names);
  size_t count = 0;
  for (const Batch& batch : batches) count += batch.bytes.size() / kRecord;
  images.pixels.resize(count * 3 * kPlane);
  images.labels.reserve(count);
  Sha256 sum;
  sum.update("cifar10 1");
  uint8_t* to = images.pixels.data();
  for (Batch& batch : batches) {
    images.parts.push_back({batch.path, static_cast<int64_t>(images.labels.size())});
    // All of it, at some 250 MB/s: no changed record can pass for the old one.
    sum.update_number(batch.bytes.size());
    sum.update(batch.bytes.data(), batch.bytes.size());
    for (size_t at = 0; at < batch.bytes.size(); at += kRecord, to += 3 * kPlane) {
      const uint8_t* plane = batch.bytes.data() + at + 1;
      images.labels.push_back(batch.bytes[at]);
      for (size_t i = 0; i < kPlane; ++i) {
        for (size_t c = 0; c < 3; ++c) to[3 * i + c] = plane[c * kPlane + i];
      }
    }
    batch.bytes = {};  // given back batch by batch
  }
  images.fingerprint = sum.hex();
  return images;
}

// The number in "data_batch_NUMBER.bin", or -1.
int batch_number(const std::string& name) {
  const std::string begin = "data_batch_", end = ".bin";
  if (!name.starts_with(begin) || !name.ends_with(end) || name.size() <= begin.size() + end.size()) return -1;
  int number = -1;
  const char* last = name.data() + name.size() - end.size();
  const auto [stop, failure] = std::from_chars(name.data() + begin.size(), last, number);
  return failure == std::errc() && stop == last ? number : -1;
}

// data_batch_*.bin by number, or test_batch.bin. The published set has five of the former; fewer are taken,
// since shortened sets exist.
std::vector<std::string> batch_files(const fs::path& folder, const std::string& split) {
  std::vector<std::pair<int, std::string>> found;
  std::vector<std::string> there;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const int number = split == "train" ? batch_number(name) : name == "test_batch.bin" ? 0 : -1;
    if (number >= 0) found.emplace_back(number, entry.path().string());
    there.push_back(name);
  }
  if (found.empty()) {
    std::sort(there.begin(), there.end());
    const std::string expected = split == "train" ? "data_batch_1.bin to data_batch_5.bin" : "test_batch.bin";
    throw Error(ErrorCode::data, "no CIFAR-10 files for the split '" + split + "' in '" + folder.string() +
                                     "': expected " + expected + ", found " + listed(there) + ".");
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> files;
  for (auto& [number, path] : found) files.push_back(std::move(path));
  return files;
}

void check_batch(const Batch& batch) {
  const size_t size = batch.bytes.size();
  if (size == 0 || size % kRecord != 0) {
    const std::string whole = size == 0 ? "none" : grouped(size / kRecord) + " and a part of the next";
    throw Error(ErrorCode::data, batch.path + ": expected a whole number of CIFAR-10 records of " +
                                     grouped(kRecord) + " bytes, found " + grouped(size) + " bytes (" +
                                     whole + "); the file is truncated or not a CIFAR-10 batch.");
  }
  for (size_t at = 0; at < size; at += kRecord) {
    if (batch.bytes[at] < kClasses) continue;
    throw Error(ErrorCode::data, batch.path + ": expected labels 0 to 9, found " +
                                     std::to_string(batch.bytes[at]) + " in record " +
                                     std::to_string(at / kRecord) + " (byte " + std::to_string(at) + ").");
  }
}

std::vector<std::string> read_class_names(const fs::path& folder) {
  const fs::path path = folder / "batches.meta.txt";
  std::error_code failure;
  if (!fs::exists(path, failure)) return {std::begin(kOfficialNames), std::end(kOfficialNames)};
  std::vector<uint8_t> bytes;
  read_whole_file(path.string(), 1 << 16, bytes);
  std::vector<std::string> names;
  std::istringstream lines(std::string(bytes.begin(), bytes.end()));
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != kClasses) {
    throw Error(ErrorCode::data, path.string() + ": expected " + std::to_string(kClasses) +
                                     " class names, one a line, found " + std::to_string(names.size()) + ".");
  }
  return names;
}

}  // namespace

std::shared_ptr<const Reader> open_cifar10(const OpenDataOptions& options, const Tick& tick) {
  if (options.split != "train" && options.split != "test") {
    throw Error(ErrorCode::config,
                "CIFAR-10 has the splits 'train' and 'test': found '" + options.split + "'.");
  }
  require_folder(options.path, "CIFAR-10");
  fs::path folder = options.path;
  std::error_code failure;
  if (fs::is_directory(folder / kFolderName, failure)) folder /= kFolderName;

  require_folder(folder.string(), "CIFAR-10");
  const std::vector<std::string> files = batch_files(folder, options.split);
  std::vector<Batch> batches;
  for (size_t i = 0; i < files.size(); ++i) {
    report(tick, static_cast<int64_t>(i), static_cast<int64_t>(files.size()));
    Batch& batch = batches.emplace_back();
    batch.path = files[i];
    read_whole_file(batch.path, kMaxFileBytes, batch.bytes);
    check_batch(batch);
  }
  return std::make_shared<MemoryReader>(interleaved(std::move(batches), read_class_names(folder)));
}

}  // namespace mode_ensemble
