// The one protocol of all networks. A family is a file that implements Network and a row in registry.cc.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "models/registry.h"
#include "runtime/compute.h"

namespace mode_ensemble {

struct NamedTensor {
  std::string name;  // as in the Python state_dict
  at::Tensor tensor;
  bool trained = false;  // a parameter that training changes; not a buffer, not a fixed parameter
};

// What a forward pass is to yield besides the logits.
struct Want {
  bool stages = false;
  int until = 0;  // the pass ends with this stage (from 1) and yields no logits; 0: the whole network
};

struct ForwardResult {
  at::Tensor logits;       // [N, C]
  at::Tensor penultimate;  // [N, D], what the last layer reads
  // One map [N, C_k, H_k, W_k] for each of ArchitectureInfo::stages; empty unless asked for. A transformer's
  // tokens are a map of T × 1: [N, C_k, T, 1].
  std::vector<at::Tensor> stages;

  // For the families: takes note of the next stage's map. True where the pass ends with it.
  bool ends_with(const at::Tensor& map, const Want& want) {
    if (want.stages) stages.push_back(map);
    return ++passed_ == want.until;
  }

 private:
  int passed_ = 0;
};

// How a network comes by its tensors.
struct Init {
  enum Kind {
    seeded,  // initial weights, bit for bit those of torch.manual_seed(seed) followed by building the network
    empty,   // memory without content, for weights that are read from a file
    shapes,  // no memory at all (LibTorch's meta device): names and shapes
  } kind = seeded;
  uint64_t seed = 0;
};

// For what a network is frozen.
struct Freeze {
  Freeze(const Compute& compute, bool gradients)
      : type(compute.type), gradients(gradients), plain(compute.plain) {}
  Freeze(const std::string& precision, bool gradients) : Freeze(Compute(precision), gradients) {}
  at::ScalarType type;  // of convolutions
  bool gradients;       // whether gradients of images will be asked for
  bool plain;           // not at all
};

class Network {
 public:
  virtual ~Network() = default;
  // images [N, 3, H, W], channels-last. `training` selects batch statistics, updates the running ones, and
  // turns dropout on.
  virtual ForwardResult forward(const at::Tensor& images, bool training, const Want& want) = 0;
  // The logits of the last stage's map, as it was given in ForwardResult::stages, or of a penultimate feature
  // [N, D].
  virtual at::Tensor head(const at::Tensor& feature) const = 0;
  // The logits of the map of the last stage but one: what is left of the network, in evaluation. Only where
  // rank1_stages() is 2.
  virtual at::Tensor resume(const at::Tensor& map) const = 0;
  // From how many of the last stages RankFeat takes the rank-1 part away: 2, 1 for the last stage alone, 0
  // where the network gives no stages.
  virtual int rank1_stages() const { return 2; }
  virtual at::Tensor last_layer_weight() const = 0;  // [C, D]
  // Which stage's average over space is the penultimate feature (from 1), or 0 where none is.
  virtual int penultimate_stage() const = 0;
  // True where the images go into a convolution and nowhere else: autocast rounds them to bfloat16 there, so
  // they may come in bfloat16 with the same result.
  virtual bool begins_with_convolution() const { return true; }
  // Freezes the network where that is wanted and all its numbers are finite. Elsewhere it stays as it is:
  // oneDNN's ReLU makes zero of NaN, and nobody would notice.
  void prepare(const Freeze& how);
  // Makes evaluation cheaper: batch norms become part of the convolutions before them, where nothing reads
  // what is between the two, and convolutions are laid out for inference (models/frozen_conv.h). Numbers
  // change by rounding alone. Afterwards the network is good for evaluation only, and its weights are gone.
  virtual void freeze(const Freeze&) {}
  // The state_dict name of a tensor that an older release of the Python class saved under another one.
  virtual std::string current_name(const std::string& stored) const { return stored; }

  // In the order of Python's state_dict.
  const std::vector<NamedTensor>& weights() const { return weights_; }
  std::vector<at::Tensor> parameters() const;
  void to_channels_last();
  void require_gradients(bool on);
  void to_type(at::ScalarType type);  // every floating-point tensor
  virtual void to_device(at::Device device);
  // Stochastic depth in training: the last residual block is left out of an image's pass with this
  // probability, those before it with less, in a line to 0 (Huang et al., ECCV 2016). Throws Error(config)
  // where the family has none.
  virtual void set_drop_path(double p);
  // From where dropout and stochastic depth draw next; without a seed from 0.
  void seed_dropout(uint64_t seed);
  // What they draw from, on the network's device; undefined before the first seed.
  const at::Generator& dropout_random() const { return dropout_random_; }

 protected:
  // x with each element zeroed with probability p and the others divided by 1 − p (torch.nn.Dropout).
  at::Tensor dropout(const at::Tensor& x, double p, bool training);
  // The same of whole images: x [N, …].
  at::Tensor drop_path(const at::Tensor& x, double p, bool training);

  std::vector<NamedTensor> weights_;

 private:
  // Zero with probability p, else 1/(1 − p).
  at::Tensor draw_kept(const at::Tensor& like, at::IntArrayRef shape, double p);

  at::Generator dropout_random_;
};

// Throws Error(config) where there is no such architecture or its options are out of range.
std::unique_ptr<Network> make_network(const ArchOptions& arch, const Init& init);

}  // namespace mode_ensemble
