#include "data/file_index.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// An archive inside of an archive puts its own name, which may be long, before each of its folders.
constexpr size_t kMaxFolderBytes = size_t{256} << 20;

}  // namespace

FileIndex::FileIndex(Columns columns) : columns_(std::move(columns)) {
  const size_t files = columns_.ends.size();
  const auto is_known = [&](uint32_t folder) { return folder < columns_.folders.size(); };
  const uint32_t last = files > 0 ? columns_.ends.back() : 0;
  if (columns_.folder_of.size() != files || columns_.labels.size() != files ||
      last != columns_.names.size() || !std::is_sorted(columns_.ends.begin(), columns_.ends.end()) ||
      !std::all_of(columns_.folder_of.begin(), columns_.folder_of.end(), is_known)) {
    throw std::invalid_argument("the columns of a file index do not fit one another");
  }
}

uint32_t FileIndex::add_folder(std::string path) {
  if (columns_.folders.size() >= UINT32_MAX)
    throw Error(ErrorCode::data, "expected fewer than 4,294,967,295 folders, found more.");
  folder_bytes_ += path.size();
  if (folder_bytes_ > kMaxFolderBytes)
    throw Error(ErrorCode::data, "expected names of folders of at most 256 MiB together, found more.");
  columns_.folders.push_back(std::move(path));
  return static_cast<uint32_t>(columns_.folders.size() - 1);
}

void FileIndex::add(uint32_t folder, std::string_view name, int32_t label) {
  if (name.size() > UINT32_MAX - columns_.names.size())
    throw Error(ErrorCode::data, "expected file names of less than 4 GiB together, found more.");
  columns_.names += name;
  columns_.ends.push_back(static_cast<uint32_t>(columns_.names.size()));
  columns_.folder_of.push_back(folder);
  columns_.labels.push_back(label);
}

void FileIndex::append(const FileIndex& part) {
  const size_t before = columns_.folders.size();
  for (const std::string& folder : part.folders()) add_folder(folder);
  for (int64_t i = 0; i < part.size(); ++i)
    add(static_cast<uint32_t>(before) + part.folder(i), part.name(i), part.label(i));
}

void FileIndex::shrink() {
  columns_.folders.shrink_to_fit();
  columns_.names.shrink_to_fit();
  columns_.ends.shrink_to_fit();
  columns_.folder_of.shrink_to_fit();
  columns_.labels.shrink_to_fit();
}

std::string FileIndex::path(int64_t i) const {
  const std::string& folder = columns_.folders[this->folder(i)];
  const std::string_view own = name(i);
  std::string path;
  path.reserve(folder.size() + 1 + own.size());
  if (!folder.empty()) path.append(folder).append("/");
  return path.append(own);
}

}  // namespace mode_ensemble
