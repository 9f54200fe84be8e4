// A folder of JPEG and PNG files: one sub-folder a class, with folders in it to any depth, or the files
// themselves.
//
// Order: first the files beside the sub-folders, then the sub-folders by name; in each, folder after folder
// by path, files by name: all in the order of their bytes, whatever the locale. That is torchvision's
// ImageFolder order. Every file counts as an image, whatever its ending, and fails when it is read if it is
// none; only hidden files and folders (a dot first) are passed over.
#include <filesystem>
#include <numeric>

#include "data/readers.h"
#include "data/walk.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

constexpr char kVersion[] = "folder 1";

FileSet index_folder(const std::string& root, int64_t threads, const Tick& tick) {
  const Listing top = list_folder(root);
  std::vector<int32_t> labels(top.folders.size());
  std::iota(labels.begin(), labels.end(), 0);
  FileSet set = walk_folders(root, top, labels, true, threads, tick);
  set.class_names = top.folders;
  if (set.class_names.empty()) set.class_names.push_back(std::filesystem::path(root).filename().string());
  if (set.index.size() == 0) {
    const std::string below = top.folders.empty() ? "" : " nor in its sub-folders " + listed(top.folders);
    throw Error(ErrorCode::data,
                "no images: expected JPEG or PNG files in '" + root + "', found none there" + below + ".");
  }
  finish_file_set(root, kVersion, false, threads, tick, set);
  return set;
}

}  // namespace

std::shared_ptr<const Reader> open_folder(const OpenDataOptions& options, const Tick& tick) {
  refuse_options(options, "A folder of images");
  require_folder(options.path, "images");
  const auto index = [&](const std::string& root) { return index_folder(root, options.threads, tick); };
  return open_folders(options, kVersion, split_names(options.split), index);
}

}  // namespace mode_ensemble
