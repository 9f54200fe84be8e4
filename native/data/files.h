// Files of data, with errors that name them.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mode_ensemble {

class ByteSource;

// Throws Error(data) that names the file when it is missing, a folder, or unreadable.
void require_file(const std::string& path);

// To be read in parts: faults of its content are Error(data). Throws as require_file does.
std::shared_ptr<const ByteSource> open_data_file(const std::string& path);

// classes.txt in the folder of `path`, which holds labels: it may or may not be there.
std::string class_file_beside(const std::string& path);

// Class names, one a line; empty lines are passed over. Throws as require_file does, and for another number
// of names than `count` where that is not 0.
inline constexpr int64_t kMaxClasses = 1'000'000;
std::vector<std::string> read_class_names(const std::string& path, size_t count = 0);

// "0", "1", …: for labels that have no names.
std::vector<std::string> numbered_names(int64_t count);

// Throws Error(data) that names the file when it is missing, a folder, unreadable, or longer than `limit`
// bytes.
void read_whole_file(const std::string& path, uint64_t limit, std::vector<uint8_t>& bytes);

// "1,234,567", so that byte counts in messages can be read.
std::string grouped(uint64_t number);

}  // namespace mode_ensemble
