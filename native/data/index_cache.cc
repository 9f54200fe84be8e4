// The file: "MODEIDX" and a version byte; then, all numbers little-endian and each list led by its length (64
// bits): key, fingerprint, class names, dependencies, folders, names, ends, folder_of, labels, places; last
// the SHA-256, in hex, of all bytes before it.
#include "data/index_cache.h"

#include <bit>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "data/files.h"
#include "runtime/error.h"
#include "runtime/files.h"
#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "columns are written as they lie in memory");

constexpr char kMagic[8] = {'M', 'O', 'D', 'E', 'I', 'D', 'X', 1};
constexpr size_t kSumSize = 64;
constexpr uint64_t kMaxCacheBytes = uint64_t{4} << 30;
// A file system may tell two changes apart only where they are this far from one another.
constexpr int64_t kClockTick = 2'000'000'000;

class Writer {
 public:
  void raw(const void* bytes, size_t size) {
    const auto* from = static_cast<const uint8_t*>(bytes);
    bytes_.insert(bytes_.end(), from, from + size);
  }
  void number(uint64_t value) { raw(&value, sizeof value); }
  void text(const std::string& value) { number(value.size()), raw(value.data(), value.size()); }
  void texts(const std::vector<std::string>& values) {
    number(values.size());
    for (const std::string& value : values) text(value);
  }
  template <typename T>
  void column(const std::vector<T>& values) {
    number(values.size());
    raw(values.data(), values.size() * sizeof(T));
  }
  void reserve(size_t bytes) { bytes_.reserve(bytes); }
  std::vector<uint8_t> finish() {
    const std::string sum = sha256_hex(bytes_.data(), bytes_.size());
    raw(sum.data(), sum.size());
    return std::move(bytes_);
  }

 private:
  std::vector<uint8_t> bytes_;
};

// Throws std::runtime_error where the bytes end too early.
class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : rest_(bytes) {}

  uint64_t number() {
    uint64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  // Of a list whose items take at least `bytes` bytes each.
  size_t length(size_t bytes) {
    const uint64_t items = number();
    if (items > rest_.size() / bytes) throw std::runtime_error("a list is longer than the file");
    return static_cast<size_t>(items);
  }
  std::string text() {
    const auto bytes = take(length(1));
    return {bytes.begin(), bytes.end()};
  }
  std::vector<std::string> texts() {
    std::vector<std::string> values(length(sizeof(uint64_t)));
    for (std::string& value : values) value = text();
    return values;
  }
  template <typename T>
  std::vector<T> column() {
    std::vector<T> values(length(sizeof(T)));
    const auto bytes = take(values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::span<const uint8_t> take(size_t n) {
    if (n > rest_.size()) throw std::runtime_error("the file ends too early");
    const auto taken = rest_.first(n);
    rest_ = rest_.subspan(n);
    return taken;
  }

  std::span<const uint8_t> rest_;
};

bool is_sound(const FileSet& set) {
  if (set.index.size() == 0 ||
      (!set.places.empty() && set.places.size() != static_cast<size_t>(set.index.size())))
    return false;
  for (const int32_t label : set.index.columns().labels)
    if (label < 0 || static_cast<size_t>(label) >= set.class_names.size()) return false;
  for (const Place& place : set.places)
    if (place.size > UINT64_MAX - place.offset) return false;
  return true;
}

FileSet parse(std::span<const uint8_t> bytes, const CacheKey& key) {
  Input in(bytes);
  if (in.texts() != key) throw std::runtime_error("the index of something else");
  FileSet set;
  set.fingerprint = in.text();
  set.class_names = in.texts();
  set.dependencies.resize(in.length(4 * sizeof(uint64_t)));
  for (Dependency& dependency : set.dependencies) {
    dependency.path = in.text();
    dependency.inode = in.number();
    dependency.size = in.number();
    dependency.modified = static_cast<int64_t>(in.number());
  }
  FileIndex::Columns columns;
  columns.folders = in.texts();
  columns.names = in.text();
  columns.ends = in.column<uint32_t>();
  columns.folder_of = in.column<uint32_t>();
  columns.labels = in.column<int32_t>();
  set.index = FileIndex(std::move(columns));
  set.places = in.column<Place>();
  if (!in.at_end() || !is_sound(set)) throw std::runtime_error("the parts do not fit one another");
  return set;
}

std::string cache_file(const std::string& cache, const CacheKey& key) {
  Sha256 sum;
  for (const std::string& part : key) sum.update_number(part.size()), sum.update(part);
  return joined(cache, sum.hex() + ".index");
}

std::optional<FileSet> load(const std::string& path, const CacheKey& key, const std::string& root) {
  std::vector<uint8_t> bytes;
  try {
    read_whole_file(path, kMaxCacheBytes, bytes);
  } catch (const Error&) {
    return std::nullopt;
  }
  auto set = parse_index(bytes, key);
  if (!set) return std::nullopt;
  for (const Dependency& dependency : set->dependencies)
    if (dependency_of(root, dependency.path) != dependency) return std::nullopt;
  return set;
}

void save(const std::string& path, const CacheKey& key, const FileSet& set) {
  std::error_code failure;
  fs::create_directories(fs::path(path).parent_path(), failure);
  if (failure) return;
  try {
    const std::vector<uint8_t> bytes = write_index(key, set);
    AtomicFile file(path);
    file.write_at(0, bytes.data(), static_cast<int64_t>(bytes.size()));
    file.commit();
  } catch (const Error&) {
    // The set is then indexed again next time.
  }
}

// Of what changed so lately, a further change might leave the time as it is.
bool changed_since(int64_t time, const FileSet& set) {
  for (const Dependency& dependency : set.dependencies)
    if (dependency.modified > time) return true;
  return false;
}

}  // namespace

std::vector<uint8_t> write_index(const CacheKey& key, const FileSet& set) {
  const FileIndex::Columns& columns = set.index.columns();
  Writer out;
  out.reserve(columns.names.size() + columns.ends.size() * 12 + set.places.size() * sizeof(Place) +
              (1 << 20));
  out.raw(kMagic, sizeof kMagic);
  out.texts(key);
  out.text(set.fingerprint);
  out.texts(set.class_names);
  out.number(set.dependencies.size());
  for (const Dependency& dependency : set.dependencies) {
    out.text(dependency.path);
    out.number(dependency.inode);
    out.number(dependency.size);
    out.number(static_cast<uint64_t>(dependency.modified));
  }
  out.texts(columns.folders);
  out.text(columns.names);
  out.column(columns.ends);
  out.column(columns.folder_of);
  out.column(columns.labels);
  out.column(set.places);
  return out.finish();
}

std::optional<FileSet> parse_index(std::span<const uint8_t> bytes, const CacheKey& key) {
  if (bytes.size() < sizeof kMagic + kSumSize || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    return std::nullopt;
  const auto content = bytes.first(bytes.size() - kSumSize);
  const std::string sum = sha256_hex(content.data(), content.size());
  if (std::memcmp(sum.data(), bytes.data() + content.size(), kSumSize) != 0) return std::nullopt;
  try {
    return parse(content.subspan(sizeof kMagic), key);
  } catch (const std::runtime_error&) {
  } catch (const std::invalid_argument&) {  // of FileIndex
  }
  return std::nullopt;
}

std::string real_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), std::free);
  return real ? real.get() : "";
}

FileSet cached_file_set(const std::string& cache, const CacheKey& key, const std::string& root,
                        const std::function<FileSet()>& make) {
  if (cache.empty()) return make();
  const std::string path = cache_file(cache, key);
  if (auto kept = load(path, key, root)) return std::move(*kept);
  const int64_t began = std::chrono::duration_cast<std::chrono::nanoseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
  FileSet set = make();
  if (set.index.size() >= kCachedFrom && !changed_since(began - kClockTick, set)) save(path, key, set);
  return set;
}

}  // namespace mode_ensemble
