#include "data/tar_index.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <set>
#include <string_view>
#include <unordered_map>

#include "data/readers.h"
#include "data/tar_archive.h"
#include "runtime/error.h"
#include "runtime/parallel.h"

namespace mode_ensemble {
namespace {

constexpr char kVersion[] = "tar 1";
constexpr uint32_t kDropped = UINT32_MAX;

bool is_hidden(std::string_view path) {
  return path.starts_with('.') || path.find("/.") != std::string_view::npos;
}

std::string first_part(const std::string& path) { return path.substr(0, path.find('/')); }

// Files and folders as the archive has them, in its order.
class Part {
 public:
  void add_folder(const std::string& path) { folder(path); }
  void add_file(const std::string& path, Place place) {
    const size_t slash = path.rfind('/');
    const bool beside = slash == std::string::npos;
    const uint32_t number = folder(beside ? "" : path.substr(0, slash));
    index_.add(number, std::string_view(path).substr(beside ? 0 : slash + 1), 0);
    places_.push_back(place);
  }
  void append(Part part) {
    index_.append(part.index_);
    places_.insert(places_.end(), part.places_.begin(), part.places_.end());
  }
  // No more is added then; what is only needed for adding goes.
  FileIndex& index() {
    numbers_ = {};
    return index_;
  }
  std::vector<Place>& places() { return places_; }

 private:
  uint32_t folder(const std::string& path) {
    const auto known = numbers_.find(path);
    if (known != numbers_.end()) return known->second;
    return numbers_.emplace(path, index_.add_folder(path)).first->second;
  }

  FileIndex index_;
  std::vector<Place> places_;
  std::unordered_map<std::string, uint32_t> numbers_;
};

struct Inner {
  std::string path;  // of the member, with ".tar"
  Place place;
};

class Scan {
 public:
  Scan(const ByteSource& source, int64_t threads, const Tick& tick)
      : source_(source), threads_(threads), tick_(tick) {}

  Part scan() {
    std::vector<Inner> inner;
    Part all = scan_range({source_, 0, static_cast<uint64_t>(source_.size()), ""}, "", &inner);
    std::vector<Part> parts(inner.size());
    parallel_for(static_cast<int64_t>(inner.size()), threads_, [&](int64_t i) {
      const auto& [path, place] = inner[static_cast<size_t>(i)];
      const TarRange range{source_, place.offset, place.offset + place.size, path};
      parts[static_cast<size_t>(i)] = scan_range(range, path.substr(0, path.size() - 4), nullptr);
    });
    for (Part& part : parts) all.append(std::move(part)), part = {};
    return all;
  }

 private:
  Part scan_range(const TarRange& range, const std::string& folder, std::vector<Inner>* inner) {
    Part part;
    if (!folder.empty()) part.add_folder(folder);
    read_tar(range, [&](TarMember&& member) {
      if (member.path.empty() || is_hidden(member.path)) return;
      const std::string path = joined(folder, member.path);
      if (member.is_folder) return part.add_folder(path);
      if (inner && path.size() > 4 && path.ends_with(".tar") && path[path.size() - 5] != '/')
        return inner->push_back({path, {member.offset, member.size}}), void();
      part.add_file(path, {member.offset, member.size});
      const int64_t files = ++files_;
      if (files % kTickEvery == 0) report(tick_, files, 0);
    });
    return part;
  }

  const ByteSource& source_;
  int64_t threads_;
  const Tick& tick_;
  std::atomic<int64_t> files_{0};
};

// The folder of the archive that stands for the set's root, '' for the archive itself. A folder that all else
// lies in is what an archive of one folder begins with, so it is passed through where there are folders in
// it.
std::string find_root(const std::string& name, const FileIndex& index, const std::string& split) {
  std::set<std::string> tops, below;
  for (const std::string& folder : index.folders()) {
    if (folder.empty()) continue;
    const std::string top = first_part(folder);
    tops.insert(top);
    if (top.size() < folder.size() && below.size() < 1000)
      below.insert(top + "/" + first_part(folder.substr(top.size() + 1)));
  }
  const auto& folders = index.folders();
  bool beside = false;
  for (int64_t i = 0; i < index.size() && !beside; ++i) beside = folders[index.folder(i)].empty();
  const bool is_single = !beside && tops.size() == 1;
  const std::string common = is_single && !below.empty() ? *tops.begin() : "";
  if (split.empty()) return common;

  const std::vector<std::string> wanted = split_names(split);
  for (const std::string& part : wanted) {
    if (is_single && tops.contains(part)) return part;
    if (!common.empty() && below.contains(common + "/" + part)) return common + "/" + part;
    if (common.empty() && tops.contains(part)) return part;
  }
  std::vector<std::string> there(tops.begin(), tops.end());
  if (!common.empty()) there.assign(below.begin(), below.end());
  throw Error(ErrorCode::data, name + ": no split '" + split + "': expected a top folder " + listed(wanted) +
                                   ", found " + listed(there) + ".");
}

// Folders as the reader 'folder' goes through them: class after class, by path in each.
struct Folders {
  std::vector<std::string> class_names;  // empty where there are files alone
  std::vector<std::string> paths;        // in order, relative to the root
  std::vector<int32_t> labels;           // of `paths`
  std::vector<uint32_t> position;        // of the archive's folders, in `paths`
};

Folders order_folders(const std::vector<std::string>& archive, const std::string& root) {
  using Key = std::pair<std::string, std::string>;  // class, path
  Folders out;
  std::vector<std::pair<Key, uint32_t>> keyed;
  for (size_t i = 0; i < archive.size(); ++i) {
    const std::string& folder = archive[i];
    const bool is_below =
        folder.size() > root.size() && folder[root.size()] == '/' && folder.starts_with(root);
    if (!root.empty() && folder != root && !is_below) continue;
    const std::string path = root.empty() ? folder : is_below ? folder.substr(root.size() + 1) : "";
    keyed.push_back({{first_part(path), path}, static_cast<uint32_t>(i)});
  }
  std::sort(keyed.begin(), keyed.end());
  out.position.assign(archive.size(), kDropped);
  for (const auto& [key, number] : keyed) {
    const auto& [class_name, path] = key;
    if (!class_name.empty() && (out.class_names.empty() || out.class_names.back() != class_name))
      out.class_names.push_back(class_name);
    if (out.paths.empty() || out.paths.back() != path) {
      out.paths.push_back(path);
      out.labels.push_back(std::max(0, static_cast<int32_t>(out.class_names.size()) - 1));
    }
    out.position[number] = static_cast<uint32_t>(out.paths.size() - 1);
  }
  return out;
}

// The numbers of the files that stay, in the set's order. Of two of one name the later one stays, as when
// unpacked.
std::vector<uint32_t> order_files(const FileIndex& index, const std::vector<Place>& places,
                                  const Folders& folders) {
  std::vector<uint32_t> order;
  order.reserve(static_cast<size_t>(index.size()));
  const auto position = [&](uint32_t i) { return folders.position[index.folder(i)]; };
  for (int64_t i = 0; i < index.size(); ++i)
    if (position(static_cast<uint32_t>(i)) != kDropped) order.push_back(static_cast<uint32_t>(i));
  const auto is_before = [&](uint32_t a, uint32_t b) {
    if (position(a) != position(b)) return position(a) < position(b);
    const int names = index.name(a).compare(index.name(b));
    return names != 0 ? names < 0 : places[a].offset > places[b].offset;
  };
  std::sort(order.begin(), order.end(), is_before);
  const auto is_same = [&](uint32_t a, uint32_t b) {
    return position(a) == position(b) && index.name(a) == index.name(b);
  };
  order.erase(std::unique(order.begin(), order.end(), is_same), order.end());
  return order;
}

}  // namespace

FileSet index_tar(const ByteSource& source, const std::string& stem, const std::string& split,
                  int64_t threads, const Tick& tick) {
  Part found = Scan(source, threads, tick).scan();
  const FileIndex& index = found.index();
  const Folders folders = order_folders(index.folders(), find_root(source.name(), index, split));
  const std::vector<uint32_t> order = order_files(index, found.places(), folders);
  if (order.empty())
    throw Error(ErrorCode::data, source.name() + ": no images: expected JPEG or PNG files in the archive" +
                                     (split.empty() ? "" : "'s part '" + split + "'") + ", found none.");
  FileSet set;
  for (const std::string& path : folders.paths) set.index.add_folder(path);
  set.places.reserve(order.size());
  std::vector<uint64_t> sizes;
  for (const uint32_t i : order) {
    const uint32_t folder = folders.position[index.folder(i)];
    set.index.add(folder, index.name(i), folders.labels[folder]);
    set.places.push_back(found.places()[i]);
    sizes.push_back(found.places()[i].size);
  }
  found = {};
  set.index.shrink();
  set.class_names = folders.class_names;
  if (set.class_names.empty()) set.class_names.push_back(stem);
  const auto sample = [&](int64_t i, std::vector<uint8_t>& bytes) {
    const Place& place = set.places[static_cast<size_t>(i)];
    bytes.resize(std::min<uint64_t>(place.size, kSampledBytes));
    source.read_at(static_cast<int64_t>(place.offset), bytes.data(), static_cast<int64_t>(bytes.size()));
  };
  set.fingerprint = fingerprint_of(kVersion, set.index, sizes, false, sample, tick);
  return set;
}

}  // namespace mode_ensemble
