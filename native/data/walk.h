// The files of a folder of class folders, found by several threads.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/file_set.h"

namespace mode_ensemble {

// Names of a folder's entries, sorted by their bytes. Hidden ones (a dot first) are passed over, and what is
// neither a folder nor a file. A link is what it leads to; one to nothing counts as a file: reading it says
// so.
struct Listing {
  // Zero-terminated, one behind the other: a folder may hold a million files.
  class Names {
   public:
    void add(const char* name);
    void sort();
    size_t size() const { return begins_.size(); }
    bool empty() const { return begins_.empty(); }
    const char* operator[](size_t i) const { return text_.data() + begins_[i]; }
    std::vector<std::string> first(size_t at_most) const;

   private:
    std::string text_;
    std::vector<uint64_t> begins_;
  };

  std::vector<std::string> folders;
  Names files;
  Dependency folder;  // as it was before it was listed
  uint64_t device = 0;
};

// ROOT/PATH. Throws Error(data) where it cannot be listed.
Listing list_folder(const std::string& root, const std::string& path = "");

// The files below the sub-folders of `root`, and before them those beside the sub-folders, unless `beside` is
// false. labels: of each of top.folders. Links can make a folder its own descendant, so each folder is
// entered once, under the first of its names. The same for any number of threads. Fills index and
// dependencies.
FileSet walk_folders(const std::string& root, const Listing& top, const std::vector<int32_t>& labels,
                     bool beside, int64_t threads, const Tick& tick);

// Opens the folder options.path, or, where a split is asked for, the first of its sub-folders `parts` that is
// there: the outcome of `index` for it, which is kept on disk.
std::shared_ptr<const Reader> open_folders(const OpenDataOptions& options, const std::string& version,
                                           const std::vector<std::string>& parts,
                                           const std::function<FileSet(const std::string& root)>& index);

}  // namespace mode_ensemble
