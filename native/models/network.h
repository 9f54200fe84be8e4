// The one protocol of all networks. A family is a file that implements Network and a row in registry.cc.
#pragma once
#include <ATen/ATen.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "models/registry.h"

namespace mode_ensemble {

struct NamedTensor {
  std::string name;  // as in the Python state_dict
  at::Tensor tensor;
  bool trained = false;  // a parameter, not a buffer
};

struct ForwardResult {
  at::Tensor logits;               // [N, C]
  at::Tensor penultimate;          // [N, D], what the last layer reads
  std::vector<at::Tensor> stages;  // five maps [N, C_k, H_k, W_k]; empty unless asked for
};

class Network {
 public:
  virtual ~Network() = default;
  // images [N, 3, H, W], channels-last. `training` selects batch statistics and updates the running ones.
  virtual ForwardResult forward(const at::Tensor& images, bool training, bool want_stages) = 0;
  // The logits of a stage-5 map [N, D, H, W] or of a penultimate feature [N, D].
  virtual at::Tensor head(const at::Tensor& feature) const = 0;
  virtual at::Tensor last_layer_weight() const = 0;  // [C, D]
  // Which stage's average is the penultimate feature (1 to 5), or 0 where none is.
  virtual int penultimate_stage() const = 0;

  // In the order of Python's state_dict.
  const std::vector<NamedTensor>& weights() const { return weights_; }
  std::vector<at::Tensor> parameters() const;
  void to_channels_last();
  void require_gradients(bool on);

 protected:
  std::vector<NamedTensor> weights_;
};

// Initial weights as Python's torch.manual_seed(seed) followed by building the network gives them, bit for
// bit.
std::unique_ptr<Network> make_network(const ArchOptions& arch, uint64_t seed);

}  // namespace mode_ensemble
