// Any bytes as a .npy file of images, and as one of labels.
#include "data/npy_file.h"
#include "exercise.h"
#include "runtime/error.h"

using namespace mode_ensemble;

namespace {

constexpr int64_t kMaxReads = 100;
constexpr size_t kReadBudget = 16 << 20;

}  // namespace

std::string exercise(const uint8_t* data, size_t size, const std::string& name) {
  const auto source = make_memory_source(name, {data, data + size}, ErrorCode::data);
  std::string first;
  const auto attempt = [&](auto&& action) {
    try {
      action();
      return true;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::data) throw;
      if (first.empty()) first = error.what();
      return false;
    }
  };
  const bool images = attempt([&] {
    const NpyImages found = check_npy_images(*source);
    if (3 * found.pixels() > kReadBudget) return;
    std::vector<uint8_t> pixels(3 * found.pixels());
    for (int64_t i = 0; i < found.count && i < kMaxReads; ++i)
      read_npy_image(*source, found, found.count - 1 - i, pixels.data());
  });
  const bool labels = attempt([&] { read_npy_labels(*source, read_npy_header(*source).elements, 9999); });
  return images || labels ? "" : first;
}
