// Reads a pickle without running anything.
#pragma once
#include "checkpoint/pickle_tree.h"
#include "checkpoint/torch_objects.h"
#include "runtime/byte_source.h"

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

// What a pickle may be: a checkpoint's, or another file's that is read with this.
struct PickleRules {
  int64_t most_bytes;
  bool (*may_name)(const Global& global);  // refused where the pickle names it, whatever is done with it
  const char* refusal;                     // why, as in "names os.system: refused, REFUSAL."
};
extern const PickleRules kCheckpointPickle;

// One pickle, protocols 0 to 5 as far as torch.save and numpy write them, from where `input` stands to behind
// its STOP. The result lies in `tree`; what its names stand for is up to `objects`. Throws Error of the
// source's code.
NodeId read_pickle(PickleInput& input, PickleTree& tree, TorchObjects& objects,
                   const PickleRules& rules = kCheckpointPickle);

}  // namespace mode_ensemble
