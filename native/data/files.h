// Files read whole, with errors that name them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mode_ensemble {

// Throws Error(data) that names the file when it is missing, a folder, unreadable, or longer than `limit`
// bytes.
void read_whole_file(const std::string& path, uint64_t limit, std::vector<uint8_t>& bytes);

// "1,234,567", so that byte counts in messages can be read.
std::string grouped(uint64_t number);

}  // namespace mode_ensemble
