// A training step of fixed shapes as a CUDA graph: hundreds of kernels started by one call.
#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <optional>
#include <vector>

#include "cuda/graph.h"

namespace mode_ensemble {

// The first three steps of a full batch are computed as usual, which lets cuDNN choose and autograd's threads
// begin; then one is recorded, and it and all later ones are replayed. Steps of other shapes are always
// computed as usual.
class RecordedStep {
 public:
  // A whole step: forward, backward, and the weights' move. What differs from step to step comes in by
  // `inputs`, by tensors that stay where they are (the learning rate), or by `dropout`; what is to be known
  // of it comes out.
  using Work = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;
  // `dropout` may be undefined. `failed` is told once where the step cannot be recorded, which then stays so.
  RecordedStep(int64_t full_batch, at::Generator dropout, Work work,
               std::function<void(const std::string& why)> failed);

  // inputs[0]: images [N, …]. The result is valid until the next call.
  at::Tensor operator()(const std::vector<at::Tensor>& inputs);

 private:
  bool fits(const std::vector<at::Tensor>& inputs) const;
  void record(const std::vector<at::Tensor>& inputs);

  int64_t full_batch_;
  at::Generator dropout_;
  Work work_;
  std::function<void(const std::string& why)> failed_;
  int computed_ = 0;  // full batches, as usual
  bool is_hopeless_ = false;
  std::vector<at::Tensor> inputs_;  // where the graph reads
  at::Tensor output_;               // where it writes
  std::optional<Graph> graph_;      // before what it reads goes
};

}  // namespace mode_ensemble
