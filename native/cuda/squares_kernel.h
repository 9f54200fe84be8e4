// The kernel that prepares training images on a GPU, and the arithmetic that it shares with nobody else but
// tests. Plain C++: nvcc sees no header of LibTorch.
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#define ME_ANYWHERE __host__ __device__
#else
#define ME_ANYWHERE
#endif

namespace mode_ensemble {

// How an image of the set is moved: data/augment.h's Framing.
struct SquareMove {
  int32_t image;  // of the set
  int32_t shift_x, shift_y;
  int32_t flip;  // 0 or 1
};

// The 8-bit value at a place of a moved square [side, side, 3]; what lies outside is black. As
// data/prepare.cc's convert: output x takes the pixel x + shift, or its mirror image.
ME_ANYWHERE inline uint8_t moved_value(const uint8_t* square, int side, const SquareMove& move, int y, int x,
                                       int channel) {
  const int from_y = y + move.shift_y;
  const int from_x = (move.flip ? side - 1 - x : x) + move.shift_x;
  if (from_y < 0 || from_y >= side || from_x < 0 || from_x >= side) return 0;
  return square[(static_cast<int64_t>(from_y) * side + from_x) * 3 + channel];
}

// All in the GPU's memory.
struct SquaresJob {
  const uint8_t* set = nullptr;       // [images, side, side, 3]
  const SquareMove* moves = nullptr;  // [rows]
  const void* lookup = nullptr;       // [3, 256] of the type that is written
  void* out = nullptr;                // [rows, side, side, 3]
  int64_t rows = 0;
  int side = 0;
  int bytes = 0;  // of a number: 2 or 4
};

// Gives CUDA's error code, 0 for none. `stream`: a cudaStream_t.
int launch_squares(const SquaresJob& job, void* stream);

}  // namespace mode_ensemble
