// A dense block made ready for evaluation: its layers and what follows them, a transition
// or the last batch norm. A thread takes a few images through the whole block. Their maps are one buffer
// [images, H, W, C] of all the block's channels, in which a layer reads the first ones and writes the next,
// so that nothing is concatenated and little leaves the cache. In a graph the block is one node, which keeps
// that buffer of all images and what each layer's first convolution gave.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "linalg/dense_kernels.h"
#include "linalg/winograd.h"
#include "models/layers.h"

namespace mode_ensemble {

class DenseBlock {
 public:
  // norm, ReLU, 1×1 convolution with what it is followed by folded in, ReLU, 3×3 convolution.
  struct Layer {
    const BatchNorm& norm;
    const Conv& narrow;
    const Conv& grow;
  };
  // After the layers comes `norm`; then, where there is a `conv` (1×1), ReLU, it, and averages of 2×2.
  // Null where these numbers of channels, this type or this processor cannot be served. Weights are copied;
  // the convolutions, which must live on and be frozen before the first pass, serve for gradients.
  static std::unique_ptr<const DenseBlock> make(const std::vector<Layer>& layers, const BatchNorm& norm,
                                                const Conv* conv, at::ScalarType type);

  // x [N, C, H, W] → [N, C', H', W'], channels-last.
  at::Tensor operator()(const at::Tensor& x) const;

  // For autograd.
  struct Kept {
    at::Tensor map;                    // [N, all, H, W], before the last norm
    std::vector<at::Tensor> narrowed;  // [N, bottleneck, H, W] of each layer
  };
  at::Tensor run(const at::Tensor& x, Kept* kept) const;
  at::Tensor input_gradient(const at::Tensor& gradient, const Kept& kept) const;

 private:
  // A batch norm: x·scale + offset.
  struct Affine {
    std::vector<float> scale, offset;
    explicit Affine(const BatchNorm& norm);
  };
  // A 1×1 convolution after a norm and ReLU, in the kernels' layout.
  struct Narrow {
    Affine norm;
    std::vector<float> bias;
    at::Tensor panels;
    int64_t in, out;
  };
  struct Step {
    Narrow narrow;
    Winograd grow;
  };
  struct Group;

  DenseBlock(const DenseKernels* kernels, const std::vector<Layer>& layers, const BatchNorm& norm,
             const Conv* conv);
  Narrow narrow(const BatchNorm& norm, const Conv& conv) const;
  void multiply(const Narrow& narrow, const void* a, int64_t count, void* to, bool relu) const;
  void run(const Group& group) const;
  // Adds to the gradient `of_map`, laid out as the map, what that of a norm's result gives.
  void add_gradient(const Affine& norm, bool relu, const at::Tensor& of_result, const at::Tensor& map,
                    const at::Tensor& of_map) const;

  const DenseKernels* kernels_;
  at::ScalarType type_;
  int64_t width_ = 0;                      // bytes of a number
  int64_t in_ = 0, growth_ = 0, all_ = 0;  // channels: before the layers, of each, after them
  int64_t bottleneck_ = 0;                 // of a layer's 1×1 convolution
  std::vector<Step> steps_;
  Affine last_;
  std::unique_ptr<Narrow> transition_;
  std::vector<Layer> layers_;
  const Conv* conv_;
};

}  // namespace mode_ensemble
