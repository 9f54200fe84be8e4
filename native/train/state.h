// What a training needs to go on as if it had never been stopped: `state.safetensors`. Dropout, mixing and
// the data's order and augmentation are functions of (seed, epoch, step) alone and need no place in it.
#pragma once
#include <map>
#include <string>

#include "models/network.h"
#include "train/ema.h"
#include "train/optimizer.h"
#include "train/statistics.h"

namespace mode_ensemble {

// Where a training is.
struct Position {
  int64_t epoch = 0;    // from 0
  int64_t batches = 0;  // of this epoch, done
  int64_t steps = 0;    // of all epochs, done
  Statistics epoch_sums;
  Statistics window;  // since the last report of steps
};

// What a training moves. `ema` may be null.
struct Moving {
  const Network& network;
  const Optimizer& optimizer;
  const Ema* ema = nullptr;
};

// Tensors: weights.<name> as in the state_dict, optimizer.<parameter>.<what>, ema.<name>, position (int64)
// and sums (the bits of float64, as int64). Metadata: `metadata` and the position in words.
class StateFile {
 public:
  // `keep`: how many of the last states stay, those before the newest under the name state-<steps>.
  StateFile(std::string folder, int64_t keep) : folder_(std::move(folder)), keep_(keep) {}

  std::string path() const { return folder_ + "/state.safetensors"; }
  // The steps of what stands in the file; below 0 where there is none.
  int64_t saved_steps() const { return saved_steps_; }

  // Whole or not at all; what was there stays until then.
  void save(const Moving& moving, const Position& position, std::map<std::string, std::string> metadata);
  // Throws Error(checkpoint) where the file does not hold all that moves.
  Position load(const std::string& from, const Moving& moving);

 private:
  void set_aside() const;
  void drop_oldest() const;

  std::string folder_;
  int64_t keep_;
  int64_t saved_steps_ = -1;
};

}  // namespace mode_ensemble
