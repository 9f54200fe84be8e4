// The layers that the families share, and the builder that makes them in Python's order with Python's random
// numbers.
#pragma once
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <string>
#include <vector>

#include "models/network.h"

namespace mode_ensemble {

struct Conv {
  at::Tensor weight;  // [out, in, k, k]
  int64_t stride = 1, padding = 0;
  at::Tensor operator()(const at::Tensor& x) const;
};

struct BatchNorm {
  at::Tensor weight, bias, mean, variance, batches;
  // momentum 0.1 and eps 1e-5 are the defaults of torch.nn.BatchNorm2d.
  at::Tensor operator()(const at::Tensor& x, bool training) const;
};

struct Linear {
  at::Tensor weight, bias;  // [out, in], [out]
  at::Tensor operator()(const at::Tensor& x) const;
};

// Adds each layer's tensors to the network's table, and draws initial weights from the generator in the order
// in which torch.nn would: parameters when the layer is made.
class Builder {
 public:
  Builder(uint64_t seed, std::vector<NamedTensor>& weights);
  Conv conv(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
            int64_t padding);
  BatchNorm batch_norm(const std::string& name, int64_t channels);
  Linear linear(const std::string& name, int64_t in, int64_t out);

 private:
  at::Tensor add(const std::string& name, at::Tensor tensor, bool trained);
  at::Generator generator_;
  std::vector<NamedTensor>& weights_;
};

// Average over space in float32, whatever the map's type: [N, C, H, W] → [N, C].
at::Tensor global_average(const at::Tensor& map);

}  // namespace mode_ensemble
