#include "data/readers.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "runtime/error.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace fs = std::filesystem;

std::string listed(const std::vector<std::string>& names, size_t at_most) {
  if (names.empty()) return "nothing";
  const size_t shown = std::min(names.size(), at_most);
  std::string text;
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += "'" + printable(names[i]) + "'";
  }
  if (shown < names.size()) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, failure))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> split_names(const std::string& split) {
  if (split == "test") return {"test", "val"};
  return {split};
}

void refuse_options(const OpenDataOptions& options, const std::string& what, bool uses_labels,
                    bool uses_root) {
  const auto refuse = [&](const char* name, const std::string& value) {
    throw Error(ErrorCode::config,
                what + " takes no option '" + name + "': expected none, found '" + value + "'.");
  };
  if (!uses_labels && !options.labels.empty()) refuse("labels", options.labels);
  if (!uses_root && !options.root.empty()) refuse("root", options.root);
}

void require_folder(const std::string& path, const std::string& what) {
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  if (fs::is_directory(status)) {
    fs::directory_iterator entries(path, failure);
    if (!failure) return;
  }
  std::string found = failure ? "one that cannot be read (" + failure.message() + ")" : "a file";
  if (status.type() == fs::file_type::not_found) found = "no such folder";
  throw Error(ErrorCode::data, "'" + path + "': expected a folder for " + what + ", found " + found + ".");
}

}  // namespace mode_ensemble
