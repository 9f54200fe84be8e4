// A convolution of a network made ready for evaluation, and its part in a graph: the gradient of the input,
// never that of the weights.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "models/packed_conv.h"

namespace mode_ensemble {

// As an operation of a network: where autograd is on, a node that gives the gradient of the input alone.
class FrozenConv {
 public:
  // `gradients`: whether gradients will be asked for; they need a second copy of the weights.
  FrozenConv(const ConvShape& shape, at::ScalarType type, bool gradients);
  ~FrozenConv();
  at::Tensor operator()(const at::Tensor& x, const Then& then) const;

  // For autograd.
  at::Tensor run(const at::Tensor& x, const Then& then) const { return forward_(x, then); }
  // The gradient of an input of that size, plus `then.add` and `then.add_even`, as far as `then.mask` lets it
  // through.
  at::Tensor input_gradient(const at::Tensor& gradient, at::IntArrayRef input, const Then& then = {}) const;
  // Of a 1×1 convolution that reads every second pixel: what input_gradient gives to these.
  at::Tensor gradient_of_every_second(const at::Tensor& gradient) const { return backward()(gradient, {}); }
  bool reads_every_second() const { return way_ == one_by_one && shape_.stride == 2; }
  at::ScalarType type() const { return type_; }
  // Whether it is what Winograd's filtering serves, 3×3 of stride 1.
  bool is_filter() const { return way_ == stride_one && kernel_ == 3; }

 private:
  const PackedConv& backward() const;
  // Whether Winograd's filtering gives the input's gradient of stride 2.
  bool redoubles(const at::Tensor& gradient) const;

  // A kind of convolution that gives the gradient of the input from that of the output.
  enum Way { stride_one, stride_two, one_by_one, in_phases, oneDNN };

  at::ScalarType type_;
  bool gradients_;
  ConvShape shape_;  // weight and bias only where gradients are asked for
  Way way_ = oneDNN;
  int64_t kernel_;
  PackedConv forward_;
  // Made when they are first used.
  mutable std::unique_ptr<PackedConv> backward_;
  mutable std::unique_ptr<Winograd> redoubling_;  // of stride two
};

// relu(convs(x) + past(x)), with ReLU between the convolutions: a residual block. `past` may be null: x
// itself.
struct FrozenResidual {
  std::vector<const FrozenConv*> convs;
  const FrozenConv* past = nullptr;
};

// Blocks one after the other: one node of the graph, whose backward pass adds the two gradients of a block's
// input, and goes back through the ReLU that gave it, where the convolution's gradient is at hand.
at::Tensor frozen_residuals(const at::Tensor& x, const std::vector<FrozenResidual>& blocks);

}  // namespace mode_ensemble
