// The layers that the families share, and the builder that makes them in Python's order with Python's random
// numbers.
#pragma once
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <string>
#include <vector>

#include "models/frozen_conv.h"
#include "models/network.h"

namespace mode_ensemble {

struct Conv {
  at::Tensor weight;  // [out, in, k, k]
  at::Tensor bias;    // [out], or undefined
  int64_t stride = 1, padding = 0;
  std::shared_ptr<const FrozenConv> frozen;  // once it is frozen; weight is then empty
  at::Tensor operator()(const at::Tensor& x) const;
};

struct BatchNorm {
  at::Tensor weight, bias, mean, variance, batches;
  double momentum = 0.1;  // as torch.nn.BatchNorm2d; eps is its 1e-5
  bool folded = false;    // part of the convolution before it; then only for evaluation
  // What follows may write over what the norm yields, and over x where the norm is folded.
  at::Tensor operator()(const at::Tensor& x, bool training, const Then& then = {}) const;
};

// While it lives, this thread's norms take this momentum in training passes instead of their own: with
// 1/(passes so far) the running statistics become means over passes.
class NormMomentum {
 public:
  explicit NormMomentum(double momentum);
  ~NormMomentum();
  NormMomentum(const NormMomentum&) = delete;
  NormMomentum& operator=(const NormMomentum&) = delete;

 private:
  double before_;
};

// A convolution and what follows it: its batch norm, `then.add` and ReLU. In place wherever autograd allows,
// and in one kernel where the convolution is frozen.
at::Tensor convolve(const Conv& conv, const BatchNorm& norm, const at::Tensor& x, bool training,
                    const Then& then);
at::Tensor convolve(const Conv& conv, const at::Tensor& x, const Then& then);  // where there is no norm

// Makes the batch norm that reads a convolution's output part of it, computed in float64 and rounded; the
// norm then hands its input on.
void fold(Conv& conv, BatchNorm& norm);
// Makes a convolution ready for evaluation, and with it the batch norm that reads its output.
void freeze(Conv& conv, const Freeze& how);
void freeze(Conv& conv, BatchNorm& norm, const Freeze& how);

struct LayerNorm {
  at::Tensor weight, bias;                           // [D]
  at::Tensor operator()(const at::Tensor& x) const;  // over the last dimension, eps 1e-5
};

struct Linear {
  at::Tensor weight, bias;  // [out, in], [out] or undefined
  at::Tensor operator()(const at::Tensor& x) const;
};

// Adds each layer's tensors to the network's table, and draws initial weights from the generator in the order
// in which torch.nn would: parameters when the layer is made. Classes that draw again afterwards
// (torchvision's ResNet) do so with the functions below, in the order of Python's modules().
class Builder {
 public:
  Builder(const Init& init, std::vector<NamedTensor>& weights);
  Conv conv(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding,
            bool bias = false);
  BatchNorm batch_norm(const std::string& name, int64_t channels, double momentum = 0.1);
  LayerNorm layer_norm(const std::string& name, int64_t width);
  Linear linear(const std::string& name, int64_t in, int64_t out, bool bias = true);
  // A tensor of the network's own; zeros.
  at::Tensor tensor(const std::string& name, at::IntArrayRef shape, bool trained);

  enum class Fan { in, out };
  // Weights drawn again; these do nothing where there are no initial weights.
  // torch.nn.init.kaiming_normal_(weight, mode, nonlinearity='relu') and normal_.
  void kaiming_normal(const at::Tensor& weight, Fan fan);
  void normal(const at::Tensor& weight, double mean, double std);
  // timm's trunc_normal_(weight, std): mean 0, bounds ±2. torch.nn.init's draws differently from 2.13 on.
  void trunc_normal(const at::Tensor& weight, double std);
  // torch.nn.init.orthogonal_(weight) times `scale`, for a weight [rows, columns] of no more rows than
  // columns.
  void orthogonal(const at::Tensor& weight, double scale);
  void zero(const at::Tensor& weight);
  // False where tensors have no content that could be filled in.
  bool draws() const { return init_.kind == Init::seeded; }
  at::Generator& generator() { return generator_; }

 private:
  at::Tensor add(const std::string& name, at::Tensor tensor, bool trained);
  at::Tensor empty(at::IntArrayRef shape, at::ScalarType type = at::kFloat) const;
  at::Tensor full(at::IntArrayRef shape, double value) const;
  at::Tensor uniform(at::IntArrayRef shape, double bound);
  Init init_;
  at::Generator generator_;
  std::vector<NamedTensor>& weights_;
};

// Where sums are taken in float32 though the tensor may be bfloat16; a float64 tensor stays one.
inline at::ScalarType sum_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Average over space in float32 (or float64): [N, C, H, W] → [N, C].
at::Tensor global_average(const at::Tensor& map);
// Maxima of 3×3 pixels with stride 2 and padding 1.
at::Tensor max_pool(const at::Tensor& map);

}  // namespace mode_ensemble
