// Decoded pixels: 8-bit RGB, rows from the top, interleaved.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace mode_ensemble {

// A part of an image, in its pixels.
struct Region {
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
};

// Pixels that belong to someone else: [height, width, 3], each row `stride` bytes after the one above.
struct PixelView {
  const uint8_t* data = nullptr;
  int width = 0;
  int height = 0;
  size_t stride = 0;

  PixelView part(const Region& region) const {
    return {data + stride * static_cast<size_t>(region.top) + size_t{3} * static_cast<size_t>(region.left),
            region.width, region.height, stride};
  }
};

// Bytes that are neither cleared nor given back from image to image. kSlack more than asked for can be read
// and written, so that vectors may run over the end.
class PixelBuffer {
 public:
  static constexpr size_t kSlack = 64;

  PixelBuffer() = default;
  // What was moved from holds nothing, and must know it: a decoder that failed leaves such a buffer behind.
  PixelBuffer(PixelBuffer&& from) noexcept { *this = std::move(from); }
  PixelBuffer& operator=(PixelBuffer&& from) noexcept {
    bytes_ = std::move(from.bytes_);
    capacity_ = std::exchange(from.capacity_, 0);
    return *this;
  }

  uint8_t* make(size_t bytes) {
    if (bytes + kSlack > capacity_) {
      bytes_.reset();  // before the new ones are taken
      capacity_ = 0;
      bytes_.reset(new uint8_t[bytes + kSlack]);
      capacity_ = bytes + kSlack;
    }
    return bytes_.get();
  }
  uint8_t* data() { return bytes_.get(); }
  const uint8_t* data() const { return bytes_.get(); }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
  size_t capacity_ = 0;
};

class Image {
 public:
  int width = 0;
  int height = 0;

  // The pixels [height, width, 3], with whatever was in them.
  uint8_t* make(int new_width, int new_height) {
    width = new_width;
    height = new_height;
    return buffer_.make(bytes());
  }
  size_t bytes() const { return size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height); }
  uint8_t* data() { return buffer_.data(); }
  const uint8_t* data() const { return buffer_.data(); }
  PixelView view() const { return {data(), width, height, size_t{3} * static_cast<size_t>(width)}; }

 private:
  PixelBuffer buffer_;
};

}  // namespace mode_ensemble
