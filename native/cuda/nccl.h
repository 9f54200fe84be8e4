// Sums over the GPUs of several ranks: NVIDIA's NCCL, the copy that LibTorch itself has loaded.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>

#include "ranks/ranks.h"

namespace mode_ensemble {

// All ranks call the same functions in the same order. Nothing here waits for the device: a rank that is gone
// is noticed by the next operation of `Ranks`.
class Nccl {
 public:
  // Rank 0 makes an id, which `ranks` (TCP or MPI) hands to the others. Throws Error(device).
  Nccl(Ranks& ranks, at::Device device);
  // Where an exception is under way: without waiting for the others.
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  // Adds up a dense float32 tensor over the ranks, in place, the same bits on each: on a stream of its own,
  // after what the calling thread's stream has been asked for so far.
  void sum(const at::Tensor& tensor);
  // Rank 0's bytes of a dense tensor to all, likewise.
  void broadcast(const at::Tensor& tensor);
  // What the calling thread's stream is asked for from now on comes after all that was begun here.
  void join();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mode_ensemble
