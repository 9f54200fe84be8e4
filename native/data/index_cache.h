// Indices of large sets, kept on disk: walking 1.28 million files again and again costs more than it tells.
//
// A kept index is used where nothing that it depends on has changed: the reader's version, what was asked
// for, and every Dependency. Otherwise the set is indexed anew and the file replaced. What cannot be read, is
// damaged, or cannot be written counts as not being there, never as an error.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/file_set.h"

namespace mode_ensemble {

// What an index was made from, as text: reader and version, absolute real path, split and the like.
using CacheKey = std::vector<std::string>;

// The index of the set, from the folder `cache` where it lies there and is right, else from `make`. Sets of
// fewer files than kCachedFrom, and what changed in the last seconds before it was indexed, are not kept. ''
// for no cache.
inline constexpr int64_t kCachedFrom = 10'000;
FileSet cached_file_set(const std::string& cache, const CacheKey& key, const std::string& root,
                        const std::function<FileSet()>& make);

// The absolute path behind all links; '' where there is none.
std::string real_path(const std::string& path);

// The file's bytes, and back; nothing where they are not whole and sound, or of another key.
std::vector<uint8_t> write_index(const CacheKey& key, const FileSet& set);
std::optional<FileSet> parse_index(std::span<const uint8_t> bytes, const CacheKey& key);

}  // namespace mode_ensemble
