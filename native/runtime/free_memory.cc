#include "runtime/free_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace mode_ensemble {
namespace {

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

// The first number behind `name` in a file of lines `name number …`.
int64_t number_in(const char* path, const std::string& name) {
  std::ifstream file(path);
  std::string word;
  while (file >> word)
    if (word == name) {
      int64_t value = 0;
      return file >> value ? value : kUnknown;
    }
  return kUnknown;
}

// `max` where there is no limit.
int64_t number_of(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : kUnknown;
}

int64_t left_in_group() {
  std::ifstream file("/proc/self/cgroup");
  std::string line, group;
  while (std::getline(file, line))
    if (line.starts_with("0::")) group = line.substr(3);
  const auto folder = "/sys/fs/cgroup" + group;
  const int64_t most = number_of(folder + "/memory.max"), used = number_of(folder + "/memory.current");
  if (most == kUnknown || used == kUnknown) return kUnknown;
  // Pages of files go when they are asked for.
  const int64_t cached = number_in((folder + "/memory.stat").c_str(), "inactive_file");
  return std::max<int64_t>(0, most - used + (cached == kUnknown ? 0 : cached));
}

}  // namespace

int64_t free_memory() {
  const int64_t kibibytes = number_in("/proc/meminfo", "MemAvailable:");
  const int64_t system = kibibytes == kUnknown ? kUnknown : kibibytes * 1024;
  const int64_t least = std::min(system, left_in_group());
  return least == kUnknown ? 0 : least;
}

}  // namespace mode_ensemble
