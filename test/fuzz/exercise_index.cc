// Any bytes as a kept index. An input that begins with "sum:" gets the right checksum at its end first.
#include <cstring>
#include <stdexcept>

#include "data/index_cache.h"
#include "exercise.h"
#include "runtime/sha256.h"

using namespace mode_ensemble;

std::string exercise(const uint8_t* data, size_t size, const std::string& name) {
  std::vector<uint8_t> bytes(data, data + size);
  if (size >= 4 && std::memcmp(data, "sum:", 4) == 0) {
    bytes.erase(bytes.begin(), bytes.begin() + 4);
    const std::string sum = sha256_hex(bytes.data(), bytes.size());
    bytes.insert(bytes.end(), sum.begin(), sum.end());
  }
  const CacheKey key{"fuzz"};
  const auto set = parse_index(bytes, key);
  if (!set) return name + ": no index.";
  for (int64_t i = 0; i < set->index.size(); ++i) {
    set->index.path(i);
    set->class_names.at(static_cast<size_t>(set->index.label(i)));
    if (!set->places.empty()) set->places.at(static_cast<size_t>(i));
  }
  // What is sound comes back as it was.
  if (write_index(key, *set) != bytes) throw std::logic_error("written again, the index is another");
  return "";
}
