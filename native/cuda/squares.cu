// Crop, flip and normalise a batch of a set whose squares lie in the GPU's memory.
#include <cuda_runtime.h>

#include "cuda/squares_kernel.h"

namespace mode_ensemble {
namespace {

constexpr int kThreads = 256;

// A thread a number of a square, so that neighbours write to neighbouring places; blockIdx.y and z: the row.
template <typename Value>
__global__ void prepare_squares(const uint8_t* __restrict__ set, const SquareMove* __restrict__ moves,
                                const Value* __restrict__ lookup, Value* __restrict__ out, int64_t rows,
                                int side) {
  const int place = blockIdx.x * kThreads + threadIdx.x;
  const int64_t row = static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
  const int numbers = side * side * 3;
  if (place >= numbers || row >= rows) return;
  const SquareMove move = moves[row];
  const int channel = place % 3, pixel = place / 3;
  const uint8_t* square = set + static_cast<int64_t>(move.image) * numbers;
  const uint8_t value = moved_value(square, side, move, pixel / side, pixel % side, channel);
  out[row * numbers + place] = lookup[channel * 256 + value];
}

template <typename Value>
cudaError_t launch(const SquaresJob& job, cudaStream_t stream) {
  constexpr int64_t kMostY = 65535;
  const int64_t y = job.rows < kMostY ? job.rows : kMostY;
  const dim3 blocks((job.side * job.side * 3 + kThreads - 1) / kThreads, static_cast<unsigned>(y),
                    static_cast<unsigned>((job.rows + y - 1) / y));
  prepare_squares<Value><<<blocks, kThreads, 0, stream>>>(job.set, job.moves,
                                                          static_cast<const Value*>(job.lookup),
                                                          static_cast<Value*>(job.out), job.rows, job.side);
  return cudaGetLastError();
}

}  // namespace

int launch_squares(const SquaresJob& job, void* stream) {
  if (job.rows == 0) return cudaSuccess;
  const auto on = static_cast<cudaStream_t>(stream);
  // The numbers are only moved, so a bfloat16 is its 16 bits.
  return job.bytes == 4 ? launch<uint32_t>(job, on) : launch<uint16_t>(job, on);
}

}  // namespace mode_ensemble
