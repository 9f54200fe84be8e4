#include "data/prepare.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>

#include "data/erase.h"
#include "data/rand_augment.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

using Clock = std::chrono::steady_clock;

// Adds to `seconds` until it goes out of scope or is stopped.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_(seconds), start_(Clock::now()) {}
  ~Stopwatch() { seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& seconds_;
  Clock::time_point start_;
};

// Rounds to the nearest, halves to even, as LibTorch does; what a network reads is finite.
uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

uint32_t little_word(const uint8_t* bytes) {
  uint32_t word = 0;
  std::memcpy(&word, bytes, 4);
  return std::endian::native == std::endian::little ? word : __builtin_bswap32(word);
}

// One row of a square: output x takes the pixel x + shift, or its mirror image; outside there is black.
template <typename Value>
void convert_row(const uint8_t* row, int side, int shift, bool flip,
                 const std::array<std::array<Value, 256>, 3>& lookup, Value* to) {
  const Value* red = lookup[0].data();
  const Value* green = lookup[1].data();
  const Value* blue = lookup[2].data();
  const auto black = [&](int begin, int end) {
    for (int x = begin; x < end; ++x) to[3 * x] = red[0], to[3 * x + 1] = green[0], to[3 * x + 2] = blue[0];
  };
  // Source x' = (flip ? side − 1 − x : x) + shift lies in [0, side) for x in [begin, end).
  int begin = flip ? shift : -shift;
  int end = begin + side;
  begin = begin > 0 ? begin : 0;
  end = end < side ? end : side;
  if (begin >= end) return black(0, side);
  black(0, begin);
  const uint8_t* from = row + 3 * ((flip ? side - 1 - begin : begin) + shift);
  Value* out = to + 3 * begin;
  const auto put = [&](uint32_t pixel) {
    out[0] = red[pixel & 255];
    out[1] = green[pixel >> 8 & 255];
    out[2] = blue[pixel >> 16 & 255];
    out += 3;
  };
  const auto last = [&] { put(from[0] | uint32_t{from[1]} << 8 | uint32_t{from[2]} << 16); };
  // One load a pixel, and of a byte more, which only the row's last pixel may not have.
  const int whole = end - begin - 1;
  if (flip) {
    last();
    for (int i = 0; i < whole; ++i) put(little_word(from -= 3));
  } else {
    for (int i = 0; i < whole; ++i, from += 3) put(little_word(from));
    last();
  }
  black(end, side);
}

template <typename Value>
void convert(const PixelView& square, const Framing& framing,
             const std::array<std::array<Value, 256>, 3>& lookup, Value* to) {
  const int side = square.width;
  const size_t row = size_t{3} * static_cast<size_t>(side);
  for (int y = 0; y < side; ++y, to += row) {
    const int from = y + framing.shift_y;
    const bool outside = from < 0 || from >= side;
    convert_row(outside ? square.data : square.data + square.stride * static_cast<size_t>(from), side,
                outside ? side : framing.shift_x, framing.flip, lookup, to);
  }
}

// How many times smaller the box may be decoded without becoming smaller than what it is resized to.
int most_shrink(const Framing& framing) {
  for (const int shrink : {8, 4, 2})
    if (framing.box.width / shrink >= framing.width && framing.box.height / shrink >= framing.height)
      return shrink;
  return 1;
}

// The box in the pixels of an image that is `shrink` times smaller.
Region shrunk_box(const Region& box, int shrink) {
  const int left = box.left / shrink, top = box.top / shrink;
  return {left, top, (box.left + box.width) / shrink - left, (box.top + box.height) / shrink - top};
}

bool is_plain(const Framing& framing, int width, int height) {
  return framing.box.width == width && framing.box.height == height && framing.width == width &&
         framing.height == height;
}

}  // namespace

size_t size_of(PixelType type) {
  return type == PixelType::float32 ? 4 : type == PixelType::bfloat16 ? 2 : 1;
}

Framing motion_of(const PrepareOptions& options, int64_t index) {
  if (!options.training) return {};
  RandomStream random = augment_stream(options.seed, options.epoch, index);
  return with_motion({}, options.augment, random);
}

Preparation::Preparation(const PrepareOptions& options, PixelCache* cache)
    : options_(options),
      cache_(cache),
      side_(static_cast<int>(options.transform.crop)),
      filter_(options.transform.filter == "bicubic" ? Filter::bicubic : Filter::bilinear),
      mean_color_(mean_color(options.transform)) {
  // The float32 steps of torchvision's ToTensor and Normalize: v / 255, − mean, / std.
  for (size_t c = 0; c < 3; ++c) {
    const auto mean = static_cast<float>(options.transform.mean[c]);
    const auto std = static_cast<float>(options.transform.std[c]);
    for (size_t v = 0; v < 256; ++v) {
      floats_[c][v] = (static_cast<float>(v) / 255.0f - mean) / std;
      bfloats_[c][v] = to_bfloat16(floats_[c][v]);
      bytes_[c][v] = static_cast<uint8_t>(v);
    }
  }
}

void Preparation::copy_lookup(void* to) const {
  switch (options_.type) {
    case PixelType::float32:
      std::memcpy(to, floats_.data(), sizeof floats_);
      break;
    case PixelType::bfloat16:
      std::memcpy(to, bfloats_.data(), sizeof bfloats_);
      break;
    case PixelType::uint8:
      std::memcpy(to, bytes_.data(), sizeof bytes_);
      break;
  }
}

Framing Preparation::framing_of(const Reader& reader, int64_t index, int width, int height,
                                RandomStream& random) const {
  if (const Region& box = options_.box; box.width > 0) {
    if (box.left > width - box.width || box.top > height - box.height)
      throw Error(ErrorCode::config, reader.name(index) + ": expected a box inside of " +
                                         std::to_string(width) + " x " + std::to_string(height) + " pixels.");
    return box_framing(options_.transform, box);
  }
  if (options_.training && options_.augment.crop == "resized")
    return box_framing(options_.transform, random_box(options_.augment, width, height, random));
  return evaluation_framing(options_.transform, width, height, [&] { return reader.name(index); });
}

PixelView Preparation::resized_square(const PixelView& pixels, const Framing& framing,
                                      Workspace& space) const {
  const Region& box = framing.box;
  space.resampler.plan(box.width, box.height, framing.width, framing.height, framing.window, filter_);
  const PixelView needed = pixels.part(box).part(space.resampler.needed());
  // Pixels that belong to a reader may end where its memory ends; the kernels read a little further.
  const size_t row = size_t{3} * static_cast<size_t>(needed.width);
  uint8_t* copy = space.copy.make(row * static_cast<size_t>(needed.height));
  for (int y = 0; y < needed.height; ++y)
    std::memcpy(copy + row * static_cast<size_t>(y), needed.data + needed.stride * static_cast<size_t>(y),
                row);
  space.resampler.run({copy, needed.width, needed.height, row}, space.square.make(side_, side_));
  return space.square.view();
}

PixelView Preparation::decoded_square(const Reader& reader, int64_t index, RandomStream& random,
                                      Workspace& space) const {
  Framing framing;
  int shrink = 1;
  Region box;
  const auto plan = [&](int times) {
    shrink = times;
    box = times == 1 ? framing.box : shrunk_box(framing.box, times);
    space.resampler.plan(box.width, box.height, framing.width, framing.height, framing.window, filter_,
                         options_.decode == DecodeMode::fast);
    const Region needed = space.resampler.needed();
    return Region{box.left + needed.left, box.top + needed.top, needed.width, needed.height};
  };
  Region wanted;
  const auto choice = [&](int width, int height) {
    framing = framing_of(reader, index, width, height, random);
    wanted = plan(options_.decode == DecodeMode::fast ? most_shrink(framing) : 1);
    return DecodeWish{
        {wanted.left * shrink, wanted.top * shrink, wanted.width * shrink, wanted.height * shrink}, shrink};
  };
  DecodedPart& part = space.part;
  {
    const Stopwatch watch(space.times.decode);
    decode_part(reader.name(index), space.sample.file, options_.decode, choice, part);
  }
  const Stopwatch watch(space.times.resize);
  if (part.shrink != shrink) wanted = plan(part.shrink);  // the format cannot
  const Region inside{wanted.left - part.held.left, wanted.top - part.held.top, wanted.width, wanted.height};
  space.resampler.run(part.image.view().part(inside), space.square.make(side_, side_));
  return space.square.view();
}

PixelView Preparation::square_of(const Reader& reader, int64_t index, RandomStream& random,
                                 Workspace& space) const {
  const auto side = static_cast<size_t>(side_);
  if (cache_) {
    if (const uint8_t* kept = cache_->find(index)) return {kept, side_, side_, 3 * side};
  }
  space.sample.pixels = {};
  space.sample.file = {};
  {
    const Stopwatch watch(space.times.fetch);
    reader.fetch(index, space.sample);
  }
  PixelView square;
  if (const PixelView& pixels = space.sample.pixels; pixels.data) {
    const Framing framing = framing_of(reader, index, pixels.width, pixels.height, random);
    if (is_plain(framing, pixels.width, pixels.height)) return pixels.part(framing.window);
    const Stopwatch watch(space.times.resize);
    square = resized_square(pixels, framing, space);
  } else {
    square = decoded_square(reader, index, random, space);
  }
  if (cache_) cache_->keep(index, square.data);
  return square;
}

PixelView Preparation::changed_square(const PixelView& square, const Framing& framing, int64_t index,
                                      Workspace& space) const {
  convert(square, framing, bytes_, space.canvas.image.make(side_, side_));
  RandomStream random = rand_augment_stream(options_.seed, options_.epoch, index);
  rand_augment(options_.augment, mean_color_, random, space.canvas);
  return space.canvas.image.view();
}

void Preparation::erase_part(int64_t index, void* square) const {
  RandomStream random = erase_stream(options_.seed, options_.epoch, index);
  const Region box = erased_box(options_.augment.erasing, side_, random);
  if (box.width == 0) return;
  switch (options_.type) {
    case PixelType::float32:
      return erase(box, side_, random, static_cast<float*>(square),
                   [](double value, size_t) { return static_cast<float>(value); });
    case PixelType::bfloat16:
      return erase(box, side_, random, static_cast<uint16_t*>(square),
                   [](double value, size_t) { return to_bfloat16(static_cast<float>(value)); });
    case PixelType::uint8:  // what becomes that value when it is normalised, as near as 8 bits come
      return erase(box, side_, random, static_cast<uint8_t*>(square), [this](double value, size_t c) {
        const double shade = 255 * (value * options_.transform.std[c] + options_.transform.mean[c]);
        return static_cast<uint8_t>(std::clamp(std::round(shade), 0.0, 255.0));
      });
  }
}

void Preparation::run(const Reader& reader, int64_t index, Workspace& space, void* to) const {
  RandomStream random = augment_stream(options_.seed, options_.epoch, index);
  PixelView square = square_of(reader, index, random, space);
  const Stopwatch watch(space.times.convert);
  Framing framing = options_.training ? with_motion({}, options_.augment, random) : Framing{};
  if (options_.training && options_.augment.randAugment > 0) {
    square = changed_square(square, framing, index, space);
    framing = {};
  }
  switch (options_.type) {
    case PixelType::float32:
      convert(square, framing, floats_, static_cast<float*>(to));
      break;
    case PixelType::bfloat16:
      convert(square, framing, bfloats_, static_cast<uint16_t*>(to));
      break;
    case PixelType::uint8:
      convert(square, framing, bytes_, static_cast<uint8_t*>(to));
      break;
  }
  if (options_.training && options_.augment.erasing > 0) erase_part(index, to);
}

}  // namespace mode_ensemble
