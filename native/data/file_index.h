// Names, folders and labels of a set's files, lean: 12 bytes and its own name each, since ImageNet has 1.28
// million.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mode_ensemble {

class FileIndex {
 public:
  struct Columns {
    std::vector<std::string> folders;  // relative to the set's root, '' for itself
    std::string names;                 // of all files, one behind the other
    std::vector<uint32_t> ends;        // [files], in `names`
    std::vector<uint32_t> folder_of;   // [files], in `folders`
    std::vector<int32_t> labels;       // [files]
  };

  FileIndex() = default;
  // Columns from outside. Throws std::invalid_argument where they do not fit one another.
  explicit FileIndex(Columns columns);

  uint32_t add_folder(std::string path);
  void add(uint32_t folder, std::string_view name, int32_t label);
  // The folders and files of `part` behind these.
  void append(const FileIndex& part);
  void set_label(int64_t i, int32_t label) { columns_.labels[at(i)] = label; }
  // Gives back what was taken in advance.
  void shrink();

  int64_t size() const { return static_cast<int64_t>(columns_.ends.size()); }
  int32_t label(int64_t i) const { return columns_.labels[at(i)]; }
  uint32_t folder(int64_t i) const { return columns_.folder_of[at(i)]; }
  std::string_view name(int64_t i) const {
    const size_t begin = i > 0 ? columns_.ends[at(i - 1)] : 0;
    return std::string_view(columns_.names).substr(begin, columns_.ends[at(i)] - begin);
  }
  // Folder and name.
  std::string path(int64_t i) const;
  const std::vector<std::string>& folders() const { return columns_.folders; }
  const Columns& columns() const { return columns_; }

 private:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }

  Columns columns_;
  size_t folder_bytes_ = 0;  // of the names of folders that were added
};

}  // namespace mode_ensemble
