// The processes that train one network together.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mode_ensemble {

// All ranks call the same operations in the same order, one at a time; each waits for the others. Where one
// of them has ended, the operation throws Error(device) that names it.
class Ranks {
 public:
  virtual ~Ranks() = default;
  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }
  // Adds up what the ranks have, in place: the same bits on each of them.
  virtual void sum(float* data, int64_t count) = 0;
  virtual void sum(double* data, int64_t count) = 0;
  // Rank 0's bytes to all.
  virtual void broadcast(void* data, int64_t bytes) = 0;

 protected:
  Ranks(int64_t rank, int64_t size) : rank_(rank), size_(size) {}

 private:
  int64_t rank_, size_;
};

struct JoinOptions {
  std::string kind;  // tcp | mpi
  // Of tcp: where rank 0, or torchrun's agent, keeps the addresses, under names that begin with `prefix`.
  int64_t rank = 0, size = 1;
  std::string address;
  int64_t port = 0;
  std::string prefix;
  bool agent = false;  // the keeper is there already
};

// Waits until all ranks are there. Throws Error(config, device).
std::shared_ptr<Ranks> join_ranks(const JoinOptions& options);

// A process alone.
std::shared_ptr<Ranks> one_rank();

// Rank 0's text.
std::string share_text(Ranks& ranks, std::string text);

std::shared_ptr<Ranks> join_by_tcp(const JoinOptions& options);
std::shared_ptr<Ranks> join_by_mpi();

}  // namespace mode_ensemble
