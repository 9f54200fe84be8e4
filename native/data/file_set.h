// What the readers whose images are files have in common: the index of a set, its fingerprint, reading.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/file_index.h"
#include "data/reader.h"

namespace mode_ensemble {

// An image file, or a file whose content the reader's memory could not hold, is refused above this.
inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;
inline constexpr int64_t kTickEvery = 1024;  // files

// Something on disk that an index was made from. The device's number is not part of it: it differs from one
// machine of a cluster to the next, and from one start to the next.
struct Dependency {
  std::string path;  // absolute, or relative to the set's root
  uint64_t inode = 0;
  uint64_t size = 0;     // UINT64_MAX for a folder
  int64_t modified = 0;  // nanoseconds since 1970

  bool operator==(const Dependency&) const = default;
};

// As it is now. One that is not there has zeros alone.
Dependency dependency_of(const std::string& root, const std::string& path);

// Where a file lies in an archive.
struct Place {
  uint64_t offset = 0;
  uint64_t size = 0;

  bool operator==(const Place&) const = default;
};

struct FileSet {
  FileIndex index;
  std::vector<Place> places;  // [files] in an archive, empty elsewhere
  std::vector<std::string> class_names;
  std::string fingerprint;
  std::vector<Dependency> dependencies;  // what a cached index is checked against
};

// ROOT/PATH; PATH alone where it is absolute or ROOT is ''.
std::string joined(const std::string& root, std::string path);

// Sizes of the index's files below `root`, UINT64_MAX for what is not there or is no file.
std::vector<uint64_t> file_sizes(const std::string& root, const FileIndex& index, int64_t threads,
                                 const Tick& tick);

inline constexpr size_t kSampledBytes = 1 << 20;  // of each sampled file, the first
// The files whose content goes into a fingerprint: 64, evenly over the set.
std::vector<int64_t> sampled_files(int64_t files);
// The first kSampledBytes of a file, none where it cannot be read: reading it says so, if it is ever asked
// for.
void read_sample(const std::string& path, std::vector<uint8_t>& bytes);

// SHA-256 over the version, each file's path and size (and label, if `with_labels`), and the sampled files'
// content.
std::string fingerprint_of(const std::string& version, const FileIndex& index,
                           std::span<const uint64_t> sizes, bool with_labels,
                           const std::function<void(int64_t, std::vector<uint8_t>&)>& sample,
                           const Tick& tick);

// Fingerprint and, for the sampled files, dependencies of a set of files below `root`.
void finish_file_set(const std::string& root, const std::string& version, bool with_labels, int64_t threads,
                     const Tick& tick, FileSet& set);

// Reads the files of `set` below `root`.
std::shared_ptr<const Reader> make_files_reader(std::string root, FileSet set);

}  // namespace mode_ensemble
