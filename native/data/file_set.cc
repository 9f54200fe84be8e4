#include "data/file_set.h"

#include <sys/stat.h>

#include <algorithm>

#include "data/files.h"
#include "data/readers.h"
#include "runtime/byte_source.h"
#include "runtime/error.h"
#include "runtime/parallel.h"
#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kSampledFiles = 64;

class FilesReader : public Reader {
 public:
  FilesReader(std::string root, FileSet set) : root_(std::move(root)), set_(std::move(set)) {}

  int64_t size() const override { return set_.index.size(); }
  const std::vector<std::string>& class_names() const override { return set_.class_names; }
  const std::string& fingerprint() const override { return set_.fingerprint; }
  int64_t label(int64_t index) const override { return set_.index.label(index); }
  std::string name(int64_t index) const override { return joined(root_, set_.index.path(index)); }

  void fetch(int64_t index, Sample& sample) const override {
    read_whole_file(name(index), kMaxFileBytes, sample.buffer);
    sample.pixels = {};
    sample.file = sample.buffer;
  }

 private:
  std::string root_;
  FileSet set_;
};

}  // namespace

Dependency dependency_of(const std::string& root, const std::string& path) {
  Dependency found{path, 0, 0, 0};
  struct stat info{};
  if (stat(joined(root, path).c_str(), &info) != 0) return found;
  found.inode = info.st_ino;
  found.size = S_ISDIR(info.st_mode) ? UINT64_MAX : static_cast<uint64_t>(info.st_size);
#ifdef __APPLE__
  const timespec& time = info.st_mtimespec;
#else
  const timespec& time = info.st_mtim;
#endif
  found.modified = int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  return found;
}

std::string joined(const std::string& root, std::string path) {
  if (root.empty() || path.starts_with('/')) return path;
  if (path.empty()) return root;
  return root + (root.ends_with('/') ? "" : "/") + path;
}

std::vector<uint64_t> file_sizes(const std::string& root, const FileIndex& index, int64_t threads,
                                 const Tick& tick) {
  std::vector<uint64_t> sizes(static_cast<size_t>(index.size()));
  const int64_t chunks = (index.size() + kTickEvery - 1) / kTickEvery;
  parallel_for(chunks, threads, [&](int64_t chunk) {
    report(tick, index.size(), 0);
    const int64_t end = std::min(index.size(), (chunk + 1) * kTickEvery);
    for (int64_t i = chunk * kTickEvery; i < end; ++i) {
      struct stat info{};
      const bool is_file = stat(joined(root, index.path(i)).c_str(), &info) == 0 && S_ISREG(info.st_mode);
      sizes[static_cast<size_t>(i)] = is_file ? static_cast<uint64_t>(info.st_size) : UINT64_MAX;
    }
  });
  return sizes;
}

std::vector<int64_t> sampled_files(int64_t files) {
  const int64_t sampled = std::min(files, kSampledFiles);
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < sampled; ++i) chosen.push_back(i * files / sampled);
  return chosen;
}

void read_sample(const std::string& path, std::vector<uint8_t>& bytes) {
  try {
    const auto source = open_data_file(path);
    const auto size = std::min<int64_t>(source->size(), kSampledBytes);
    bytes.resize(static_cast<size_t>(size));
    source->read_at(0, bytes.data(), size);
  } catch (const Error&) {
    bytes.clear();
  }
}

std::string fingerprint_of(const std::string& version, const FileIndex& index,
                           std::span<const uint64_t> sizes, bool with_labels,
                           const std::function<void(int64_t, std::vector<uint8_t>&)>& sample,
                           const Tick& tick) {
  Sha256 sum;
  sum.update(version);
  for (int64_t i = 0; i < index.size(); ++i) {
    const std::string path = index.path(i);
    sum.update_number(path.size());
    sum.update(path);
    sum.update_number(sizes[static_cast<size_t>(i)]);
    if (with_labels) sum.update_number(static_cast<uint64_t>(index.label(i)));
    if (i % (64 * kTickEvery) == 0) report(tick, index.size(), 0);
  }
  std::vector<uint8_t> bytes;
  for (const int64_t i : sampled_files(index.size())) {
    report(tick, index.size(), 0);
    sample(i, bytes);
    sum.update(bytes.data(), bytes.size());
  }
  return sum.hex();
}

void finish_file_set(const std::string& root, const std::string& version, bool with_labels, int64_t threads,
                     const Tick& tick, FileSet& set) {
  set.index.shrink();
  const auto sizes = file_sizes(root, set.index, threads, tick);
  const auto path = [&](int64_t i) { return joined(root, set.index.path(i)); };
  // Before the content is read: what changes meanwhile is then seen when the cached index is checked.
  for (const int64_t i : sampled_files(set.index.size()))
    set.dependencies.push_back(dependency_of(root, set.index.path(i)));
  const auto sample = [&](int64_t i, std::vector<uint8_t>& bytes) { read_sample(path(i), bytes); };
  set.fingerprint = fingerprint_of(version, set.index, sizes, with_labels, sample, tick);
}

std::shared_ptr<const Reader> make_files_reader(std::string root, FileSet set) {
  set.dependencies = {};
  return std::make_shared<FilesReader>(std::move(root), std::move(set));
}

}  // namespace mode_ensemble
