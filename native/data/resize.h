// Resampling to any size, bit for bit what Pillow's Image.resize does to 8-bit RGB images.
#pragma once
#include "data/image.h"
#include "data/resize_kernels.h"

namespace mode_ensemble {

enum class Filter { bilinear, bicubic };

// A part of a resized image, made from the part of the source that it draws on and from no more:
//   resampler.plan(…); get the pixels of resampler.needed(); resampler.run(…).
// One a thread: it keeps its memory from image to image.
class Resampler {
 public:
  explicit Resampler(const ResizeKernels& kernels = resize_kernels()) : all_(kernels) {}

  // What is wanted is `window` of the image that source_width × source_height becomes when it is resized to
  // width × height. All sizes are at least 1, and the window lies inside.
  // `rough`: with weights of 14 bits, which may change a pixel by 1.
  void plan(int source_width, int source_height, int width, int height, const Region& window, Filter filter,
            bool rough = false);

  // The part of the source that the window draws on.
  Region needed() const { return needed_; }

  // `from`: the pixels of needed(), followed by PixelBuffer::kSlack readable bytes. `to`: [window.height,
  // window.width, 3], followed by kSlack writable bytes.
  void run(const PixelView& from, uint8_t* to);

 private:
  const ResizeKernels& all_;
  const Kernels* kernels_ = nullptr;
  Region window_, needed_;
  bool same_width_ = false, same_height_ = false;
  Taps columns_, rows_;
  PixelBuffer narrow_;
};

}  // namespace mode_ensemble
