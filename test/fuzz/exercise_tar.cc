// Any bytes as a tar archive of images. An input that begins with "sums:" gets right checksums first, since
// they would stop nearly every change of a header.
#include <cstring>
#include <stdexcept>

#include "data/tar_index.h"
#include "exercise.h"
#include "runtime/error.h"

using namespace mode_ensemble;

namespace {

constexpr size_t kBlock = 512;

// Of all blocks: those of content that no header comes to do not matter.
void correct_sums(std::vector<uint8_t>& bytes) {
  for (size_t at = 0; at + kBlock <= bytes.size(); at += kBlock) {
    uint8_t* block = bytes.data() + at;
    if (std::memcmp(block + 257, "ustar", 5) != 0) continue;
    std::memset(block + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < kBlock; ++i) sum += block[i];
    for (int digit = 5; digit >= 0; --digit, sum >>= 3)
      block[148 + digit] = static_cast<uint8_t>('0' + (sum & 7));
    block[154] = 0;
  }
}

}  // namespace

std::string exercise(const uint8_t* data, size_t size, const std::string& name) {
  static constexpr char kPrefix[] = "sums:";
  std::vector<uint8_t> bytes(data, data + size);
  if (size >= 5 && std::memcmp(data, kPrefix, 5) == 0) {
    bytes.erase(bytes.begin(), bytes.begin() + 5);
    correct_sums(bytes);
  }
  const auto source = make_memory_source(name, std::move(bytes), ErrorCode::data);
  std::string first;
  for (const char* split : {"", "test"}) {
    try {
      const FileSet set = index_tar(*source, "stem", split, 1, nullptr);
      std::vector<uint8_t> image;
      for (int64_t i = 0; i < set.index.size(); ++i) {
        const Place& place = set.places.at(static_cast<size_t>(i));
        image.resize(place.size);  // lies in the input, so it is no larger
        source->read_at(static_cast<int64_t>(place.offset), image.data(), static_cast<int64_t>(place.size));
        if (set.class_names.at(static_cast<size_t>(set.index.label(i))).empty() || set.index.path(i).empty())
          throw std::logic_error("a class or a file without a name");
      }
      if (*split == '\0') return "";
    } catch (const Error& error) {
      if (error.code() != ErrorCode::data) throw;
      if (first.empty()) first = error.what();
    }
  }
  return first;
}
