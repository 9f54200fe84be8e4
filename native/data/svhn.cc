#include "data/svhn.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "data/files.h"
#include "data/readers.h"
#include "runtime/error.h"
#include "runtime/sha256.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSplits[] = {"train", "test", "extra"};

// The file itself, or the split's file in a folder.
std::string find_file(const OpenDataOptions& options) {
  const bool known = std::find(std::begin(kSplits), std::end(kSplits), options.split) != std::end(kSplits);
  std::error_code failure;
  const bool folder = fs::is_directory(options.path, failure);
  if (!known && (folder || !options.split.empty()))
    throw Error(ErrorCode::config,
                "SVHN has the splits 'train', 'test' and 'extra': found '" + options.split + "'.");
  if (!folder) return options.path;
  require_folder(options.path, "SVHN");
  const fs::path path = fs::path(options.path) / (options.split + "_32x32.mat");
  if (!fs::exists(path, failure)) {
    throw Error(ErrorCode::data, "no SVHN file for the split '" + options.split + "' in '" + options.path +
                                     "': expected " + options.split + "_32x32.mat, found " +
                                     listed(names_in(options.path)) + ".");
  }
  return path.string();
}

}  // namespace

std::shared_ptr<const Reader> open_svhn(const OpenDataOptions& options, const Tick& tick) {
  refuse_options(options, "SVHN");
  const std::string path = find_file(options);
  MemoryImages images = read_svhn(*open_data_file(path), tick);
  // Of what was read, so that compressing the file or renaming it changes nothing.
  Sha256 sum;
  sum.update("svhn 1");
  sum.update_number(static_cast<uint64_t>(images.width));
  sum.update_number(static_cast<uint64_t>(images.height));
  sum.update(images.pixels.data(), images.pixels.size());
  for (const int32_t label : images.labels) sum.update_number(static_cast<uint64_t>(label));
  images.fingerprint = sum.hex();
  return std::make_shared<MemoryReader>(std::move(images));
}

}  // namespace mode_ensemble
