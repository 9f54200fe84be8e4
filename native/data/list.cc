// Images that a text lists, a line each: a path and a label with a tab, a comma or a semicolon between, or
// blanks, and then the label is the last word. The first line that counts tells which. Quotes as in RFC 4180,
// but no line breaks in them. A first line of names (path,label) is passed over, and so are empty lines and
// those that begin with '#'.
//
// Labels are whole numbers from 0, or names, then numbered by the order of their bytes. A file classes.txt
// beside the list, one name a line, names the classes and their order. Images without labels, or all with the
// label -1, have the label 0. Paths are relative to the option `root`, else to the list's folder, and may
// lead anywhere.
#include <algorithm>
#include <filesystem>
#include <system_error>

#include "data/files.h"
#include "data/index_cache.h"
#include "data/list_parse.h"
#include "data/readers.h"
#include "runtime/byte_source.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

constexpr char kVersion[] = "list 1";
constexpr int64_t kPiece = 1 << 20;

FileSet index_list(const std::string& path, const std::string& root, int64_t threads, const Tick& tick) {
  FileSet set;
  const std::string class_file = class_file_beside(path);
  for (const std::string& file : {path, class_file})
    set.dependencies.push_back(dependency_of("", fs::absolute(file).string()));
  const auto source = open_data_file(path);
  const int64_t size = source->size();
  if (static_cast<uint64_t>(size) > kMaxFileBytes)
    source->fail("expected a list of at most " + grouped(kMaxFileBytes) + " bytes, found " +
                 grouped(static_cast<uint64_t>(size)) + ".");
  std::error_code failure;
  const bool is_named = fs::exists(class_file, failure);
  ListParser parser(path, is_named ? read_class_names(class_file) : std::vector<std::string>());
  std::string piece;
  for (int64_t at = 0; at < size; at += kPiece) {
    piece.resize(static_cast<size_t>(std::min(size - at, kPiece)));
    source->read_at(at, piece.data(), static_cast<int64_t>(piece.size()));
    parser.feed(piece);
    report(tick, 0, 0);
  }
  ParsedList parsed = parser.finish();
  if (parsed.index.size() == 0)
    throw Error(ErrorCode::data, path + ": expected lines of a path and a label, found none.");
  set.index = std::move(parsed.index);
  set.class_names = std::move(parsed.class_names);
  if (set.class_names.empty()) set.class_names.push_back(fs::path(path).stem().string());
  finish_file_set(root, kVersion, true, threads, tick, set);
  return set;
}

}  // namespace

std::shared_ptr<const Reader> open_list(const OpenDataOptions& options, const Tick& tick) {
  refuse_options(options, "A list", false, true);
  if (!options.split.empty())
    throw Error(ErrorCode::config, "a list has no splits: expected none, found '" + options.split + "'.");
  const std::string root =
      options.root.empty() ? fs::path(options.path).parent_path().string() : options.root;
  const CacheKey key{kVersion, real_path(options.path), fs::path(options.path).filename().string(),
                     fs::absolute(root.empty() ? "." : root).string()};
  FileSet set = cached_file_set(options.cache, key, root,
                                [&] { return index_list(options.path, root, options.threads, tick); });
  return make_files_reader(root, std::move(set));
}

}  // namespace mode_ensemble
