// Reads a pickle without running anything.
#pragma once
#include "checkpoint/pickle_tree.h"
#include "checkpoint/source.h"
#include "checkpoint/torch_objects.h"

namespace mode_ensemble {

// Bytes of a source, in order, through a small window.
class PickleInput {
 public:
  PickleInput(const ByteSource& source, int64_t begin, int64_t end);

  int64_t offset() const { return window_at_ + static_cast<int64_t>(at_); }
  int64_t left() const { return end_ - offset(); }
  uint8_t byte();
  void read(void* to, int64_t n);
  void skip(int64_t n);
  uint64_t number(int bytes);     // little-endian
  std::string line(size_t most);  // without its end
  const ByteSource& source() const { return source_; }
  [[noreturn]] void fail(const std::string& sentence) const { source_.fail_at(offset(), sentence); }

 private:
  void fill();
  void require(int64_t n) const;

  const ByteSource& source_;
  int64_t end_, window_at_;
  size_t at_ = 0;
  std::vector<uint8_t> window_;
};

// One pickle, protocols 0 to 5 as far as torch.save writes them, from where `input` stands to behind its
// STOP. The result lies in `tree`; what its names stand for is up to `objects`. Throws Error(checkpoint).
NodeId read_pickle(PickleInput& input, PickleTree& tree, TorchObjects& objects);

}  // namespace mode_ensemble
