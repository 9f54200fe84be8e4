// An uncompressed .tar of images, read in place: it never needs to be unpacked. Order, labels and names are
// those of the reader 'folder' for the unpacked tree. A folder that all else lies in is passed through where
// there are folders in it (an archive of one folder begins so). An archive in the archive stands for a folder
// of its name without ".tar", as ILSVRC2012_img_train.tar has them. A split is a folder at the top, as in the
// reader 'folder'.
#include <filesystem>

#include "data/files.h"
#include "data/index_cache.h"
#include "data/readers.h"
#include "data/tar_index.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

class TarReader : public Reader {
 public:
  TarReader(std::shared_ptr<const ByteSource> source, FileSet set)
      : source_(std::move(source)), set_(std::move(set)) {}

  int64_t size() const override { return set_.index.size(); }
  const std::vector<std::string>& class_names() const override { return set_.class_names; }
  const std::string& fingerprint() const override { return set_.fingerprint; }
  int64_t label(int64_t index) const override { return set_.index.label(index); }
  std::string name(int64_t index) const override { return source_->name() + ":" + set_.index.path(index); }

  void fetch(int64_t index, Sample& sample) const override {
    const Place& place = set_.places[static_cast<size_t>(index)];
    if (place.size > kMaxFileBytes)
      throw Error(ErrorCode::data, "cannot read " + name(index) + ": expected at most " +
                                       grouped(kMaxFileBytes) + " bytes, found " + grouped(place.size) + ".");
    sample.buffer.resize(place.size);
    source_->read_at(static_cast<int64_t>(place.offset), sample.buffer.data(),
                     static_cast<int64_t>(place.size));
    sample.pixels = {};
    sample.file = sample.buffer;
  }

 private:
  std::shared_ptr<const ByteSource> source_;
  FileSet set_;
};

}  // namespace

std::shared_ptr<const Reader> open_tar(const OpenDataOptions& options, const Tick& tick) {
  refuse_options(options, "A tar archive");
  const fs::path path = options.path;
  const auto source = open_data_file(options.path);
  const auto make = [&] {
    // Before it is read, so that a change meanwhile is seen.
    const Dependency archive = dependency_of("", fs::absolute(path).string());
    FileSet set = index_tar(*source, path.stem().string(), options.split, options.threads, tick);
    set.dependencies.push_back(archive);
    return set;
  };
  const CacheKey key{"tar 1", real_path(options.path), options.split, path.filename().string()};
  FileSet set = cached_file_set(options.cache, key, "", make);
  const auto size = static_cast<uint64_t>(source->size());
  for (const Place& place : set.places)
    if (place.offset > size || place.size > size - place.offset)
      throw Error(ErrorCode::data, "cannot read " + options.path + ": it has changed since it was opened.");
  set.dependencies = {};
  return std::make_shared<TarReader>(source, std::move(set));
}

}  // namespace mode_ensemble
