// Reads the checkpoints that people have: PyTorch's (zip, since 1.6, and the one before) and safetensors.
// Nothing in a file is run, and a file that lies or is damaged is an Error(checkpoint) that names file and
// byte, at small cost.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/contents.h"
#include "checkpoint/dtype.h"
#include "runtime/byte_source.h"

namespace mode_ensemble {

class Checkpoint {
 public:
  using Weight = WeightName;  // {std::string name; size_t tensor;}

  // `want`: the top-level entry of a torch file that holds the weights; "" finds it.
  static std::unique_ptr<Checkpoint> open(const std::string& path, const std::string& want = "");
  static std::unique_ptr<Checkpoint> open(std::shared_ptr<const ByteSource> source,
                                          const std::string& want = "");

  const std::string& name() const { return source_->name(); }  // the file
  const std::string& format() const {
    return contents_.format;
  }  // "safetensors", "torch zip", "torch legacy"
  // Every tensor of the file, named by its path ("optimizer.state.0.momentum_buffer"), in the file's order.
  const std::vector<TensorInfo>& tensors() const { return contents_.tensors; }

  // The network's weights: the tensors of `state_dict_ema`, else `state_dict`, else `model`, else `net`, else
  // of the top level; names without "module." and "_orig_mod."; in the file's order. Both throw where there
  // are none, saying what there is instead; a file without weights can still be opened and listed.
  const std::vector<Weight>& weights() const;
  const std::string& weights_in() const;  // "state_dict", or "" for the top level

  // __metadata__ of safetensors; of a torch file the entry `mode_ensemble`, where all in it is text.
  const std::map<std::string, std::string>& metadata() const { return contents_.metadata; }
  // Every other value: path and a short text. At most 1000 and one more, "…", that counts the rest.
  const std::vector<std::pair<std::string, std::string>>& values() const { return contents_.values; }

  // tensors()[tensor].elements() elements of type `as`, row-major, in native byte order. Converts as a C cast
  // does; refuses what makes no sense (complex numbers as real ones) and integers that do not fit. Checks the
  // checksum of what it reads, once. Safe from several threads.
  void read(size_t tensor, DType as, void* to) const;

 private:
  Checkpoint() = default;
  std::shared_ptr<const ByteSource> source_;
  Contents contents_;
};

}  // namespace mode_ensemble
