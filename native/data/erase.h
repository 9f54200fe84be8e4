// Random erasing (Zhong et al., arXiv 1708.04896) as timm has it with one box and the mode `pixel`: in a box
// of the normalised square every value becomes a normal random number.
#pragma once
#include <cstdint>

#include "data/draws.h"
#include "data/image.h"
#include "runtime/random.h"

namespace mode_ensemble {

// The stream of the erasing of an image: first the box, then its values.
inline RandomStream erase_stream(uint64_t seed, uint64_t epoch, int64_t index) {
  return RandomStream(seed, "erase", epoch, static_cast<uint64_t>(index));
}

// The box that is erased of a square; of width 0, with 1 − `probability`, and where ten tries find none.
Region erased_box(double probability, int side, RandomStream& random);

// `square`: [side, side, 3]. `value_of` turns (normal number, channel) into what the square holds.
template <typename Value, typename Of>
void erase(const Region& box, int side, RandomStream& random, Value* square, Of value_of) {
  Normals normals(random);
  const auto at = [&](int x, int y) { return square + 3 * (static_cast<int64_t>(y) * side + x); };
  for (int y = box.top; y < box.top + box.height; ++y) {
    Value* to = at(box.left, y);
    for (int x = 0; x < box.width; ++x, to += 3)
      for (size_t c = 0; c < 3; ++c) to[c] = value_of(normals.next(), c);
  }
}

}  // namespace mode_ensemble
