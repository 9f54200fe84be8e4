// Squares that were made once, kept for the next epoch: a small set of image files is decoded once and then
// lives in memory.
#pragma once
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace mode_ensemble {

class PixelCache {
 public:
  // `bytes` an image. The memory is taken from the system as it is written to.
  PixelCache(int64_t images, size_t bytes)
      : bytes_(bytes),
        pixels_(new uint8_t[static_cast<size_t>(images) * bytes]),
        states_(static_cast<size_t>(images)) {}

  // Null where the image has not been kept yet.
  const uint8_t* find(int64_t index) const {
    const auto at = static_cast<size_t>(index);
    return states_[at].load(std::memory_order_acquire) == kThere ? pixels_.get() + at * bytes_ : nullptr;
  }

  // Two threads may come with the same image: the first one writes it.
  void keep(int64_t index, const uint8_t* pixels) {
    const auto at = static_cast<size_t>(index);
    uint8_t expected = kNone;
    if (!states_[at].compare_exchange_strong(expected, kWriting, std::memory_order_relaxed)) return;
    std::memcpy(pixels_.get() + at * bytes_, pixels, bytes_);
    states_[at].store(kThere, std::memory_order_release);
  }

 private:
  static constexpr uint8_t kNone = 0, kWriting = 1, kThere = 2;

  size_t bytes_;
  std::unique_ptr<uint8_t[]> pixels_;
  std::vector<std::atomic<uint8_t>> states_;
};

}  // namespace mode_ensemble
