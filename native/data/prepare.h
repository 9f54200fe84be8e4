// One image of a set on its way to a network: fetched, decoded as far as it is needed, resized, cropped,
// flipped, changed by random ops, normalised, and perhaps erased in part.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/augment.h"
#include "data/decode.h"
#include "data/pixel_cache.h"
#include "data/pixel_ops.h"
#include "data/reader.h"
#include "data/resize.h"

namespace mode_ensemble {

enum class PixelType { float32, bfloat16, uint8 };  // uint8: not normalised
size_t size_of(PixelType type);

struct PrepareOptions {
  TransformOptions transform;
  // The part of each image that becomes the square, instead of what the transform says; width 0 for none.
  Region box;
  bool training = false;  // the random part takes place
  AugmentOptions augment;
  DecodeMode decode = DecodeMode::exact;
  PixelType type = PixelType::float32;
  uint64_t seed = 0;  // of the random choices, which depend on (seed, epoch, index) alone
  uint64_t epoch = 0;
};

// How a square is moved after it was cut out; not at all where it is no training.
Framing motion_of(const PrepareOptions& options, int64_t index);

// Seconds of one thread.
struct PrepareTimes {
  double fetch = 0, decode = 0, resize = 0, convert = 0;

  void add(const PrepareTimes& other) {
    fetch += other.fetch, decode += other.decode, resize += other.resize, convert += other.convert;
  }
};

// What a thread keeps from image to image.
struct Workspace {
  Sample sample;
  DecodedPart part;
  Resampler resampler;
  Image square;
  OpCanvas canvas;
  PixelBuffer copy;
  PrepareTimes times;
};

class Preparation {
 public:
  // `cache` may be null. It keeps what comes before the random part, so it must be of the same transform.
  Preparation(const PrepareOptions& options, PixelCache* cache);

  // Bytes of a prepared image.
  size_t bytes() const { return static_cast<size_t>(3 * side_ * side_) * size_of(options_.type); }

  // What an 8-bit value becomes in each channel: [3, 256] of the type asked for.
  void copy_lookup(void* to) const;

  // `to`: [S, S, 3] of the type asked for, S being transform.crop. Throws Error(data), which names the image.
  // Thread-safe, with a workspace for each thread.
  void run(const Reader& reader, int64_t index, Workspace& space, void* to) const;

 private:
  // What comes before shift, flip and normalising: the kept pixels, [S, S, 3].
  PixelView square_of(const Reader& reader, int64_t index, RandomStream& random, Workspace& space) const;
  PixelView decoded_square(const Reader& reader, int64_t index, RandomStream& random, Workspace& space) const;
  PixelView resized_square(const PixelView& pixels, const Framing& framing, Workspace& space) const;
  // `square` as `framing` moves it, after its random ops.
  PixelView changed_square(const PixelView& square, const Framing& framing, int64_t index,
                           Workspace& space) const;
  void erase_part(int64_t index, void* square) const;
  Framing framing_of(const Reader& reader, int64_t index, int width, int height, RandomStream& random) const;

  PrepareOptions options_;
  PixelCache* cache_;
  int side_;
  Filter filter_;
  Rgb mean_color_;
  // 8-bit value → what the network reads, for each channel.
  std::array<std::array<float, 256>, 3> floats_{};
  std::array<std::array<uint16_t, 256>, 3> bfloats_{};
  std::array<std::array<uint8_t, 256>, 3> bytes_{};
};

}  // namespace mode_ensemble
