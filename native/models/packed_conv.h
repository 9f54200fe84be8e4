// Convolutions made ready for evaluation: weights laid out once for the kernel that reads them, and what
// follows (bias, a residual addition, ReLU) done where the result is still at hand.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <vector>

namespace mode_ensemble {

class Winograd;

// What follows a convolution (and its batch norm): first an addition, then ReLU.
struct Then {
  at::Tensor add;  // of the output's shape, or undefined
  bool relu = false;
  // What a ReLU gave, of the output's shape, where the output is the gradient that goes back through it: zero
  // where it gave zero. For PackedConv alone.
  at::Tensor mask{};
  // Added to the pixels at even places, of half the output's sides rounded up. For gradients alone.
  at::Tensor add_even{};
  // Where the result is to be, channels-last, or undefined: in memory of its own. For PackedConv alone.
  at::Tensor into{};
};

struct ConvShape {
  at::Tensor weight;  // [out, in, k, k], float32
  at::Tensor bias;    // [out], float32
  int64_t stride = 1, padding = 0;
};

// y, which is nobody else's, with then.add_even, then.mask and then.into.
at::Tensor finished(at::Tensor y, const Then& then);

// What the filter makes of x [N, in, H, W] with what follows, [N, out, height, width], channels-last.
at::Tensor filtered(const Winograd& filter, const at::Tensor& x, const at::Tensor& bias, const Then& then,
                    int64_t height, int64_t width);
// Whether it is worth while to filter a convolution of stride 2, kernel 3 and padding 1 of so many channels,
// or for the gradient of its input; `height` and `width` are the smaller maps'.
bool suits_strided_filter(at::ScalarType type, int64_t in, int64_t out, int64_t height, int64_t width);

// One convolution in one direction. A job's own thread may call it, not two at once.
class PackedConv {
 public:
  PackedConv(const ConvShape& shape, at::ScalarType type);
  ~PackedConv();
  // x [N, in, H, W] of the type → [N, out, H', W'], channels-last. No graph is made.
  at::Tensor operator()(const at::Tensor& x, const Then& then) const;

 private:
  bool suits_winograd(const at::Tensor& x) const;
  at::Tensor by_winograd(const at::Tensor& x, const Then& then) const;
  // Decides at the first call, when the size of maps is known, which algorithm it will be.
  void choose(const at::Tensor& x) const;
  // Of then, the addition and ReLU.
  at::Tensor by_library(const at::Tensor& x, const Then& then) const;
  // Lays the weights out for maps of x's size.
  void pack(const at::Tensor& x) const;

  at::ScalarType type_;
  mutable bool chosen_ = false;
  mutable at::Tensor weight_, bias_;
  mutable std::vector<int64_t> packed_for_;  // sizes of x
  int64_t out_, stride_, padding_;
  mutable std::unique_ptr<Winograd> winograd_;
};

}  // namespace mode_ensemble
