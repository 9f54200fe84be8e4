// ImageNet as its training archive unpacks: one folder a class, named by its WordNet number (n01440764), in
// DIR/train and DIR/val or in DIR itself. A label is the class's position among all 1,000, so that a part of
// the classes has the labels of a network for all of them. What stands beside the class folders is passed
// over if it is no image by its ending; in them every file counts, as in the reader 'folder'.
#include <algorithm>
#include <cctype>

#include "data/imagenet_classes.h"
#include "data/readers.h"
#include "data/walk.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

constexpr char kVersion[] = "imagenet 1";

bool is_image_name(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.ends_with(".jpeg") || name.ends_with(".jpg") || name.ends_with(".png");
}

void check_files_beside(const std::string& root, const Listing& top) {
  for (size_t i = 0; i < top.files.size(); ++i) {
    if (!is_image_name(top.files[i])) continue;
    throw Error(ErrorCode::data,
                "'" + root + "': expected a folder for each class, named as 'n01440764', found the image '" +
                    top.files[i] +
                    "' beside them, as the validation archive unpacks; move each image into its " +
                    "class's folder, or give a list of images and labels (list:FILE).");
  }
}

[[noreturn]] void refuse_folder(const std::string& root, const std::string& name, const std::string& split) {
  const bool is_part = split.empty() && (name == "train" || name == "val" || name == "test");
  throw Error(ErrorCode::data,
              "'" + root +
                  "': expected folders named by the 1,000 classes of ImageNet, as 'n01440764', found '" +
                  name + "'; " +
                  (is_part ? "ask for the split 'train' or 'test'."
                           : "for images of other classes use the reader 'folder'."));
}

FileSet index_imagenet(const std::string& root, const std::string& split, int64_t threads, const Tick& tick) {
  const Listing top = list_folder(root);
  FileSet set;
  std::vector<std::string> classes = imagenet_classes();
  std::vector<int32_t> labels;
  for (const std::string& name : top.folders) {
    const auto found = std::lower_bound(classes.begin(), classes.end(), name);
    if (found == classes.end() || *found != name) refuse_folder(root, name, split);
    labels.push_back(static_cast<int32_t>(found - classes.begin()));
  }
  check_files_beside(root, top);
  set = walk_folders(root, top, labels, false, threads, tick);
  set.class_names = std::move(classes);
  if (set.index.size() == 0) {
    throw Error(ErrorCode::data,
                "no images: expected folders of JPEG files, named as 'n01440764', in '" + root + "', found " +
                    (top.folders.empty() ? "no folder" : "none in " + listed(top.folders)) + ".");
  }
  finish_file_set(root, kVersion, true, threads, tick, set);
  return set;
}

}  // namespace

std::shared_ptr<const Reader> open_imagenet(const OpenDataOptions& options, const Tick& tick) {
  refuse_options(options, "ImageNet");
  require_folder(options.path, "ImageNet");
  // `val` before `test`: beside it, the published layout has the test images, flat and without labels.
  std::vector<std::string> parts = split_names(options.split);
  std::reverse(parts.begin(), parts.end());
  const auto index = [&](const std::string& root) {
    return index_imagenet(root, options.split, options.threads, tick);
  };
  return open_folders(options, kVersion, parts, index);
}

}  // namespace mode_ensemble
