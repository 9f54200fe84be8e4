// CIFAR-10 and CIFAR-100 as published for C programs and for Python. The whole set is held in memory.
#include "data/cifar.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

#include "data/files.h"
#include "data/memory_reader.h"
#include "data/readers.h"
#include "runtime/error.h"
#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;  // the published files have at most 153,700,000

// A folder, and which layout to look for in it.
struct Place {
  fs::path folder;
  bool binary;
};

const char* extension(bool binary) { return binary ? ".bin" : ""; }

// The number in "data_batch_NUMBER.bin", or -1.
int file_number(const std::string& name, const std::string& begin, const std::string& end) {
  if (!name.starts_with(begin) || !name.ends_with(end) || name.size() <= begin.size() + end.size()) return -1;
  int number = -1;
  const char* last = name.data() + name.size() - end.size();
  const auto [stop, failure] = std::from_chars(name.data() + begin.size(), last, number);
  return failure == std::errc() && stop == last ? number : -1;
}

// The split's files in their order; none where they are not there. The published sets have five batches for
// training, or one; fewer are taken, since shortened sets exist.
std::vector<std::string> split_files(const CifarSet& set, const std::string& split, const Place& place) {
  const std::string end = extension(place.binary);
  std::vector<std::pair<int, std::string>> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(place.folder)) {
    const std::string name = entry.path().filename().string();
    int number = -1;
    if (split == "train" && set.train_files > 1)
      number = file_number(name, set.train + std::string("_"), end);
    else if (name == (split == "train" ? set.train : set.test) + end)
      number = 0;
    std::error_code failure;
    // `train` may well be a folder of images.
    if (number >= 0 && (place.binary || !entry.is_directory(failure)))
      found.emplace_back(number, entry.path().string());
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> files;
  for (auto& [number, path] : found) files.push_back(std::move(path));
  return files;
}

std::string expected_files(const CifarSet& set, const std::string& split, bool binary) {
  const std::string end = extension(binary);
  if (split != "train" || set.train_files == 1) return (split == "train" ? set.train : set.test) + end;
  const std::string begin = set.train + std::string("_");
  return begin + "1" + end + " to " + begin + std::to_string(set.train_files) + end;
}

// The binary layout goes before the Python one, an archive's own folder before the one that was given.
Place find_split(const CifarSet& set, const std::string& split, const fs::path& given,
                 std::vector<std::string>& files) {
  fs::path shown;
  for (const bool binary : {true, false}) {
    for (const char* inside : {binary ? set.binary_folder : set.python_folder, ""}) {
      const Place place{*inside ? given / inside : given, binary};
      std::error_code failure;
      if (!fs::is_directory(place.folder, failure)) continue;
      require_folder(place.folder.string(), set.title);
      files = split_files(set, split, place);
      if (!files.empty()) return place;
      if (shown.empty()) shown = place.folder;
    }
  }
  throw Error(ErrorCode::data, std::string("no ") + set.title + " files for the split '" + split + "' in '" +
                                   shown.string() + "': expected " + expected_files(set, split, true) +
                                   ", or " + expected_files(set, split, false) +
                                   " of the Python version, found " + listed(names_in(shown.string())) + ".");
}

std::vector<std::string> names_of(const CifarSet& set, size_t which, const Place& place) {
  const CifarLabels& labels = set.labels[which];
  const fs::path path = place.folder / (place.binary ? labels.names_file : set.meta_file);
  std::error_code failure;
  if (!fs::exists(path, failure)) return {labels.names.begin(), labels.names.end()};
  if (place.binary) return read_class_names(path.string(), labels.names.size());
  return read_cifar_meta(set, which, *open_data_file(path.string()));
}

// Planes become interleaved pixels once, here, so that no pass has to do it again.
void append(const std::vector<uint8_t>& records, MemoryImages& images) {
  const size_t before = images.pixels.size(), count = records.size() / kCifarRecord;
  images.pixels.resize(before + count * kCifarPixels);
  uint8_t* to = images.pixels.data() + before;
  for (size_t at = 0; at < records.size(); at += kCifarRecord, to += kCifarPixels) {
    const uint8_t* plane = records.data() + at + 1;
    images.labels.push_back(records[at]);
    for (size_t i = 0; i < kCifarPlane; ++i) {
      for (size_t c = 0; c < 3; ++c) to[3 * i + c] = plane[c * kCifarPlane + i];
    }
  }
}

size_t labels_asked_for(const CifarSet& set, const std::string& option) {
  if (option.empty()) return set.usual_labels;
  std::vector<std::string> names;
  for (size_t i = 0; i < set.labels.size(); ++i) {
    if (option == set.labels[i].option) return i;
    names.emplace_back(set.labels[i].option);
  }
  throw Error(ErrorCode::config,
              std::string(set.title) + " has the labels " + listed(names) + ": found '" + option + "'.");
}

std::shared_ptr<const Reader> open_cifar(const CifarSet& set, const OpenDataOptions& options,
                                         const Tick& tick) {
  const std::string title = set.title;
  if (options.split != "train" && options.split != "test") {
    throw Error(ErrorCode::config,
                title + " has the splits 'train' and 'test': found '" + options.split + "'.");
  }
  refuse_options(options, title, set.labels.size() > 1);
  const size_t which = labels_asked_for(set, options.labels);
  require_folder(options.path, title);
  std::vector<std::string> files;
  const Place place = find_split(set, options.split, options.path, files);

  MemoryImages images;
  images.width = images.height = kCifarSide;
  images.class_names = names_of(set, which, place);
  uint64_t bytes = 0;
  std::error_code failure;
  for (const std::string& path : files) {
    const uint64_t size = fs::file_size(path, failure);
    if (!failure) bytes += std::min(size, kMaxFileBytes);
  }
  images.pixels.reserve(bytes);
  Sha256 sum;
  sum.update(set.version);
  if (set.labels.size() > 1) sum.update(set.labels[which].option);
  std::vector<uint8_t> records;
  for (size_t i = 0; i < files.size(); ++i) {
    report(tick, static_cast<int64_t>(i), static_cast<int64_t>(files.size()));
    images.parts.push_back({files[i], static_cast<int64_t>(images.labels.size())});
    if (place.binary)
      read_cifar_binary(set, which, files[i], records);
    else
      read_cifar_pickle(set, which, *open_data_file(files[i]), records);
    // All of it, at some 250 MB/s: no changed record can pass for the old one.
    sum.update_number(records.size());
    sum.update(records.data(), records.size());
    append(records, images);
  }
  images.fingerprint = sum.hex();
  return std::make_shared<MemoryReader>(std::move(images));
}

}  // namespace

void read_cifar_binary(const CifarSet& set, size_t which, const std::string& path,
                       std::vector<uint8_t>& records) {
  const size_t labels = set.labels.size(), record = labels + kCifarPixels;
  const std::string title = set.title;
  read_whole_file(path, kMaxFileBytes, records);
  const size_t size = records.size();
  if (size == 0 || size % record != 0) {
    const std::string whole = size == 0 ? "none" : grouped(size / record) + " and a part of the next";
    throw Error(ErrorCode::data, path + ": expected a whole number of " + title + " records of " +
                                     grouped(record) + " bytes, found " + grouped(size) + " bytes (" + whole +
                                     "); the file is truncated or not a " + title + " batch.");
  }
  uint8_t* to = records.data();
  for (size_t at = 0; at < size; at += record, to += kCifarRecord) {
    for (size_t i = 0; i < labels; ++i) {
      const size_t classes = set.labels[i].names.size();
      if (records[at + i] < classes) continue;
      throw Error(ErrorCode::data, path + ": expected " + set.labels[i].adjective + "labels 0 to " +
                                       std::to_string(classes - 1) + ", found " +
                                       std::to_string(records[at + i]) + " in record " +
                                       std::to_string(at / record) + " (byte " + std::to_string(at + i) +
                                       ").");
    }
    // In place: what is written never overtakes what is read.
    *to = records[at + which];
    if (labels > 1) std::copy_n(records.data() + at + labels, kCifarPixels, to + 1);
  }
  records.resize(size / record * kCifarRecord);
}

std::shared_ptr<const Reader> open_cifar10(const OpenDataOptions& options, const Tick& tick) {
  return open_cifar(kCifar10, options, tick);
}

std::shared_ptr<const Reader> open_cifar100(const OpenDataOptions& options, const Tick& tick) {
  return open_cifar(kCifar100, options, tick);
}

}  // namespace mode_ensemble
