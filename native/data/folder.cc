// A folder of JPEG and PNG files: one sub-folder a class, with folders in it to any depth, or the files
// themselves.
//
// Order: first the files beside the sub-folders, then the sub-folders by name; in each, folder after folder
// by path, files by name: all in the order of their bytes, whatever the locale. That is torchvision's
// ImageFolder order. Every file counts as an image, whatever its ending, and fails when it is read if it is
// none; only hidden files and folders (a dot first) are passed over.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "data/files.h"
#include "data/readers.h"
#include "runtime/error.h"
#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;
constexpr int64_t kTickEvery = 1024;       // files
constexpr int64_t kSampledFiles = 64;      // whose content goes into the fingerprint
constexpr size_t kSampledBytes = 1 << 20;  // of each, the first

// Lean, since ImageNet has 1.28 million: 12 bytes and the file's own name each.
class FolderIndex {
 public:
  void begin_folder(std::string path, int32_t label) { folders_.push_back({std::move(path), label}); }
  void add(const std::string& name) {
    folder_of_.push_back(static_cast<uint32_t>(folders_.size() - 1));
    names_ += name;
    ends_.push_back(names_.size());
  }
  int64_t size() const { return static_cast<int64_t>(ends_.size()); }
  int32_t label(int64_t i) const { return folders_[folder_of_[i]].label; }
  // Relative to the root.
  std::string path(int64_t i) const {
    const size_t begin = i > 0 ? ends_[i - 1] : 0;
    const std::string& folder = folders_[folder_of_[i]].path;
    return (folder.empty() ? "" : folder + "/") + names_.substr(begin, ends_[i] - begin);
  }

 private:
  struct Folder {
    std::string path;  // relative to the root, '' for itself
    int32_t label;
  };
  std::vector<Folder> folders_;
  std::vector<uint32_t> folder_of_;  // [files]
  std::vector<uint64_t> ends_;       // [files], in names_
  std::string names_;
};

class FolderReader : public Reader {
 public:
  FolderReader(std::string root, FolderIndex index, std::vector<std::string> class_names,
               std::string fingerprint)
      : root_(std::move(root)),
        index_(std::move(index)),
        class_names_(std::move(class_names)),
        fingerprint_(std::move(fingerprint)) {}

  int64_t size() const override { return index_.size(); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  int64_t label(int64_t index) const override { return index_.label(index); }
  std::string name(int64_t index) const override { return root_ + "/" + index_.path(index); }

  void fetch(int64_t index, Sample& sample) const override {
    read_whole_file(name(index), kMaxFileBytes, sample.buffer);
    sample.pixels = {};
    sample.file = sample.buffer;
  }

 private:
  std::string root_;
  FolderIndex index_;
  std::vector<std::string> class_names_;
  std::string fingerprint_;
};

struct Listing {
  std::vector<std::string> folders, files;  // names, sorted by their bytes
};

Listing list_folder(const std::string& path) {
  Listing listing;
  std::error_code failure;
  fs::directory_iterator entry(path, failure);
  for (const fs::directory_iterator end; !failure && entry != end; entry.increment(failure)) {
    std::string name = entry->path().filename().string();
    if (name.starts_with('.')) continue;
    std::error_code unknown;
    const fs::file_type type = entry->status(unknown).type();  // follows links
    if (type == fs::file_type::directory) {
      listing.folders.push_back(std::move(name));
    } else if (type == fs::file_type::regular || entry->is_symlink(unknown)) {
      listing.files.push_back(std::move(name));  // a link to nothing too: reading it says so
    }
  }
  if (failure)
    throw Error(ErrorCode::data, "cannot list the folder '" + path + "': " + failure.message() + ".");
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.files.begin(), listing.files.end());
  return listing;
}

class Indexer {
 public:
  Indexer(std::string root, const Tick& tick) : root_(std::move(root)), tick_(tick) {
    sum_.update("folder 1");
    enter(root_);
  }

  // Files of the folder at `path` (relative to the root); not of those below it.
  void add_files(const std::string& path, const std::vector<std::string>& names, int32_t label) {
    if (names.empty()) return;
    index_.begin_folder(path, label);
    for (const std::string& name : names) {
      index_.add(name);
      const std::string relative = path.empty() ? name : path + "/" + name;
      std::error_code missing;
      const uint64_t size = fs::file_size(root_ + "/" + relative, missing);
      sum_.update_number(relative.size());
      sum_.update(relative);
      sum_.update_number(missing ? UINT64_MAX : size);
      if (index_.size() % kTickEvery == 0) report(tick_, index_.size(), 0);
    }
  }

  // All files of the folder and of those below it, folder by folder in the order of their paths.
  void add_tree(const std::string& path, int32_t label) {
    std::vector<std::pair<std::string, std::vector<std::string>>> found;
    collect(path, found);
    std::sort(found.begin(), found.end());
    for (const auto& [folder, names] : found) add_files(folder, names, label);
  }

  FolderIndex take_index() { return std::move(index_); }

  std::string fingerprint(const FolderIndex& index) {
    const int64_t sampled = std::min(index.size(), kSampledFiles);
    std::vector<uint8_t> bytes;
    for (int64_t i = 0; i < sampled; ++i) {
      report(tick_, index.size(), 0);
      try {
        read_whole_file(root_ + "/" + index.path(i * index.size() / sampled), kMaxFileBytes, bytes);
      } catch (const Error&) {
        bytes.clear();  // unreadable: read() will say so, if it is ever asked for
      }
      sum_.update(bytes.data(), std::min(bytes.size(), kSampledBytes));
    }
    return sum_.hex();
  }

 private:
  // Links can make a folder its own descendant, so each folder is entered once, under the first of its names.
  bool enter(const std::string& folder) {
    struct stat info;
    return stat(folder.c_str(), &info) == 0 && entered_.emplace(info.st_dev, info.st_ino).second;
  }

  void collect(const std::string& path,
               std::vector<std::pair<std::string, std::vector<std::string>>>& found) {
    // Links can make a folder its own descendant, so each folder is entered once, under the first of its
    // names.
    struct stat info;
    const std::string full = root_ + "/" + path;
    if (stat(full.c_str(), &info) != 0 || !entered_.emplace(info.st_dev, info.st_ino).second) return;
    Listing listing = list_folder(full);
    found.emplace_back(path, std::move(listing.files));
    for (const std::string& name : listing.folders) collect(path + "/" + name, found);
  }

  std::string root_;
  const Tick& tick_;
  FolderIndex index_;
  Sha256 sum_;
  std::set<std::pair<dev_t, ino_t>> entered_;
};

// PATH/train and the like, or PATH itself where no split is asked for.
std::string split_folder(const std::string& path, const std::string& split) {
  if (split.empty()) return path;
  std::vector<std::string> names = {split};
  if (split == "test") names.push_back("val");
  std::error_code failure;
  for (const std::string& name : names) {
    if (fs::is_directory(path + "/" + name, failure)) return path + "/" + name;
  }
  Listing there = list_folder(path);
  there.folders.insert(there.folders.end(), there.files.begin(), there.files.end());
  throw Error(ErrorCode::data, "no split '" + split + "' in '" + path + "': expected a sub-folder " +
                                   listed(names) + ", found " + listed(there.folders) + ".");
}

}  // namespace

std::shared_ptr<const Reader> open_folder(const OpenDataOptions& options, const Tick& tick) {
  require_folder(options.path, "images");
  std::string root = options.path;
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  root = split_folder(root, options.split);

  const Listing top = list_folder(root);
  std::vector<std::string> class_names = top.folders;
  if (class_names.empty()) class_names.push_back(fs::path(root).filename().string());
  Indexer indexer(root, tick);
  indexer.add_files("", top.files, 0);
  for (size_t c = 0; c < top.folders.size(); ++c) indexer.add_tree(top.folders[c], static_cast<int32_t>(c));

  FolderIndex index = indexer.take_index();
  if (index.size() == 0) {
    const std::string below = top.folders.empty() ? "" : " nor in its sub-folders " + listed(top.folders);
    throw Error(ErrorCode::data,
                "no images: expected JPEG or PNG files in '" + root + "', found none there" + below + ".");
  }
  std::string fingerprint = indexer.fingerprint(index);
  return std::make_shared<FolderReader>(root, std::move(index), std::move(class_names),
                                        std::move(fingerprint));
}

}  // namespace mode_ensemble
