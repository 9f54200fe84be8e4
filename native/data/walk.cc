#include "data/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>

#include "data/index_cache.h"
#include "data/readers.h"
#include "runtime/error.h"
#include "runtime/parallel.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

using Identity = std::pair<uint64_t, uint64_t>;  // device, inode

[[noreturn]] void cannot_list(const std::string& path, int error) {
  throw Error(ErrorCode::data,
              "cannot list the folder '" + path + "': " + std::generic_category().message(error) + ".");
}

enum class Kind { folder, file, other };

Kind kind_of(int folder, const dirent& entry) {
  if (entry.d_type == DT_DIR) return Kind::folder;
  if (entry.d_type == DT_REG) return Kind::file;
  if (entry.d_type != DT_LNK && entry.d_type != DT_UNKNOWN) return Kind::other;
  struct stat info{};
  if (fstatat(folder, entry.d_name, &info, 0) == 0 && !S_ISLNK(info.st_mode)) {
    if (S_ISDIR(info.st_mode)) return Kind::folder;
    if (S_ISREG(info.st_mode)) return Kind::file;
  }
  const bool is_link =
      entry.d_type == DT_LNK ||
      (fstatat(folder, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(info.st_mode));
  return is_link ? Kind::file : Kind::other;
}

// Folders and who enters them. Class folders are walked at the same time, but the outcome is that of walking
// them one after the other: a folder that links put into several classes belongs to the first of these, since
// whatever can be reached from it then belongs to that class or to one before.
class Owners {
 public:
  // May the walk of class `c` enter it, as far as is known by now? False when it, or a class before it, did.
  bool enter(const Identity& folder, int64_t c) {
    const std::lock_guard lock(mutex_);
    const auto [entry, is_new] = owner_.emplace(folder, c);
    if (!is_new && entry->second <= c) return false;
    entry->second = c;
    return true;
  }
  // To be asked once all classes before `c` have been walked.
  bool belongs_to(const Identity& folder, int64_t c) {
    const std::lock_guard lock(mutex_);
    return owner_.at(folder) == c;
  }

 private:
  std::mutex mutex_;
  std::map<Identity, int64_t> owner_;
};

struct Found {
  std::string path;  // relative to the root
  Identity identity;
  Dependency dependency;
  Listing::Names files;
};

class ClassWalk {
 public:
  ClassWalk(const std::string& root, int64_t number, Owners& owners, std::atomic<int64_t>& files,
            const Tick& tick)
      : root_(root), number_(number), owners_(owners), files_(files), tick_(tick) {}

  // Folder by folder, in the order of their paths.
  std::vector<Found> walk(const std::string& path) {
    collect(path);
    std::sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) { return a.path < b.path; });
    return std::move(found_);
  }

 private:
  void collect(const std::string& path) {
    const std::string full = joined(root_, path);
    struct stat info{};
    if (stat(full.c_str(), &info) != 0) return;  // gone since its parent was listed
    const Identity identity{info.st_dev, info.st_ino};
    if (!owners_.enter(identity, number_)) return;
    Listing listing = list_folder(root_, path);
    report(tick_, files_ += static_cast<int64_t>(listing.files.size()), 0);
    found_.push_back({path, identity, std::move(listing.folder), std::move(listing.files)});
    for (const std::string& name : listing.folders) collect(path + "/" + name);
  }

  const std::string& root_;
  int64_t number_;
  Owners& owners_;
  std::atomic<int64_t>& files_;  // found so far, in all classes
  const Tick& tick_;
  std::vector<Found> found_;
};

void add_files(const std::string& path, const Listing::Names& names, int32_t label, FileIndex& index) {
  if (names.empty()) return;
  const uint32_t folder = index.add_folder(path);
  for (size_t i = 0; i < names.size(); ++i) index.add(folder, names[i], label);
}

std::string split_folder(const std::string& path, const std::string& split,
                         const std::vector<std::string>& parts) {
  std::error_code failure;
  for (const std::string& name : parts) {
    if (fs::is_directory(path + "/" + name, failure)) return path + "/" + name;
  }
  Listing there = list_folder(path);
  for (std::string& file : there.files.first(there.files.size())) there.folders.push_back(std::move(file));
  throw Error(ErrorCode::data, "no split '" + split + "' in '" + path + "': expected a sub-folder " +
                                   listed(parts) + ", found " + listed(there.folders) + ".");
}

}  // namespace

void Listing::Names::add(const char* name) {
  begins_.push_back(text_.size());
  text_.append(name, std::strlen(name) + 1);
}

void Listing::Names::sort() {
  // strcmp compares bytes as unsigned, as std::string does.
  const char* text = text_.data();
  std::sort(begins_.begin(), begins_.end(),
            [text](uint64_t a, uint64_t b) { return std::strcmp(text + a, text + b) < 0; });
}

std::vector<std::string> Listing::Names::first(size_t at_most) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(size(), at_most); ++i) names.emplace_back((*this)[i]);
  return names;
}

Listing list_folder(const std::string& root, const std::string& relative) {
  const std::string path = joined(root, relative);
  Listing listing;
  listing.folder = dependency_of(root, relative);
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) cannot_list(path, errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(fdopendir(fd), closedir);
  if (!folder) {
    const int error = errno;
    close(fd);
    cannot_list(path, error);
  }
  struct stat info{};
  if (fstat(fd, &info) == 0) listing.device = info.st_dev;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(folder.get());
    if (!entry) break;
    if (entry->d_name[0] == '.') continue;
    const Kind kind = kind_of(fd, *entry);
    if (kind == Kind::folder) listing.folders.emplace_back(entry->d_name);
    if (kind == Kind::file) listing.files.add(entry->d_name);
  }
  if (errno != 0) cannot_list(path, errno);
  std::sort(listing.folders.begin(), listing.folders.end());
  listing.files.sort();
  return listing;
}

FileSet walk_folders(const std::string& root, const Listing& top, const std::vector<int32_t>& labels,
                     bool beside, int64_t threads, const Tick& tick) {
  FileSet set;
  set.dependencies.push_back(top.folder);
  if (beside) add_files("", top.files, 0, set.index);
  Owners owners;
  owners.enter({top.device, top.folder.inode}, -1);

  const auto classes = static_cast<int64_t>(top.folders.size());
  std::mutex mutex;
  // Walked, but with a class before it that is still being walked. Empty where not even that, or no more.
  std::vector<std::optional<std::vector<Found>>> waiting(top.folders.size());
  int64_t merged = 0;
  std::atomic<int64_t> files{set.index.size()};
  parallel_for(classes, threads, [&](int64_t c) {
    auto found = ClassWalk(root, c, owners, files, tick).walk(top.folders[static_cast<size_t>(c)]);
    const std::lock_guard lock(mutex);
    waiting[static_cast<size_t>(c)] = std::move(found);
    for (; merged < classes && waiting[static_cast<size_t>(merged)]; ++merged) {
      auto& next = waiting[static_cast<size_t>(merged)];
      for (Found& folder : *next) {
        if (!owners.belongs_to(folder.identity, merged)) continue;
        add_files(folder.path, folder.files, labels[static_cast<size_t>(merged)], set.index);
        set.dependencies.push_back(std::move(folder.dependency));
      }
      next.reset();
    }
  });
  return set;
}

std::shared_ptr<const Reader> open_folders(const OpenDataOptions& options, const std::string& version,
                                           const std::vector<std::string>& parts,
                                           const std::function<FileSet(const std::string& root)>& index) {
  std::string path = options.path;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string root = options.split.empty() ? path : split_folder(path, options.split, parts);
  const CacheKey key{version, real_path(path), options.split, fs::path(root).filename().string()};
  return make_files_reader(root, cached_file_set(options.cache, key, root, [&] { return index(root); }));
}

}  // namespace mode_ensemble
