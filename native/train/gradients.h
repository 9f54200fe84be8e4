// The gradients of all ranks, added up while the backward pass still computes those of earlier layers.
#pragma once
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda/nccl.h"
#include "models/network.h"
#include "ranks/ranks.h"

namespace mode_ensemble {

// What the ranks agree on in each step, without a message of its own.
struct Votes {
  float share = 1;  // of a full batch: how much this rank's gradients count
  float stop = 0, save = 0;
};

// The parameters' gradients lie in buckets, in the order in which the backward pass gives them. A thread adds
// up each bucket over the ranks as soon as it is full (Li et al., PyTorch Distributed, arXiv 2006.15704). On
// GPUs NCCL does, on a stream of its own, and the votes alone go through the processes.
class Gradients {
 public:
  // `nccl`: of ranks whose network is on a GPU, else null.
  Gradients(std::shared_ptr<Ranks> ranks, std::shared_ptr<Nccl> nccl, const Network& network);
  ~Gradients();
  Gradients(const Gradients&) = delete;
  Gradients& operator=(const Gradients&) = delete;

  // Before the backward pass, whose loss is the mean over this rank's images times votes.share.
  void begin(const Votes& votes);
  // After it: each parameter's gradient is the mean over the images of all ranks, the same bits on each of
  // them. Gives the sums of the votes. Parameters without a gradient count as if it were zero.
  Votes finish();

 private:
  struct Bucket {
    at::Tensor flat;                // [elements]; of the last bucket, the votes behind them
    std::vector<at::Tensor> views;  // of flat, each lying as its parameter does
    std::vector<at::Tensor> parameters;
    std::vector<bool> arrived;
    size_t missing = 0;
  };
  struct Hook;

  void make_bucket(const std::vector<at::Tensor>& parameters, bool is_last);
  Votes added_votes();
  void take(size_t bucket, size_t place);
  void release_full();
  void work();

  std::shared_ptr<Ranks> ranks_;
  std::shared_ptr<Nccl> nccl_;
  Votes agreed_;  // of ranks on GPUs
  std::vector<Bucket> buckets_;
  size_t released_ = 0;  // buckets that the thread may add up; they go in order, the same on all ranks
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t ready_ = 0, done_ = 0;  // under mutex_
  std::exception_ptr failure_;
  bool stop_ = false;
  std::thread thread_;  // where there is no NCCL
};

}  // namespace mode_ensemble
