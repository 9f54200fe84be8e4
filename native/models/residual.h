// What the ResNets share: one block of either kind, and a network that is a stem, layers of blocks, an
// average and a linear layer. The families differ in the stem, in names, in shortcuts and in initial weights.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "models/layers.h"

namespace mode_ensemble {

// Blocks a layer, and whether they are bottlenecks, of the ResNets of He et al. (arXiv 1512.03385, table 1).
struct ResNetDepth {
  std::array<int, 4> blocks;
  bool bottleneck;
};
ResNetDepth resnet_depth(int depth);  // 18, 34, 50, 101 or 152

struct ResidualBlock {
  // What leads past the convolutions where the shape changes; elsewhere it is the input itself.
  struct Shortcut {
    enum Kind {
      project,  // 1×1 convolution and batch norm
      pad,      // every second pixel, and zero channels, as many before as after (option A of the paper)
    } kind = project;
    std::string name = "shortcut";
  };
  struct Shape {
    int64_t in = 0, width = 0, stride = 1;
    bool bottleneck = false;
    int64_t out() const { return bottleneck ? 4 * width : width; }
  };

  ResidualBlock(Builder& build, const std::string& name, const Shape& shape, const Shortcut& shortcut);
  at::Tensor operator()(const at::Tensor& x, bool training) const;  // [N, in, H, W] → [N, out, H/stride, …]
  // Of the frozen convolutions, where frozen_residuals serves such a block.
  std::optional<FrozenResidual> frozen() const;
  void freeze(const Freeze& how);

  std::vector<Conv> convs;  // two, or three of a bottleneck (the stride is the 3×3's)
  std::vector<BatchNorm> norms;
  enum { identity, projection, padding } way = identity;
  int64_t stride = 1, added = 0;  // of padding: channels added on each side
  Conv shortcut_conv;
  BatchNorm shortcut_norm;
};

class ResidualNetwork : public Network {
 public:
  ForwardResult forward(const at::Tensor& images, bool training, const Want& want) override;
  void freeze(const Freeze& how) override;
  at::Tensor head(const at::Tensor& feature) const override;
  at::Tensor resume(const at::Tensor& map) const override;
  at::Tensor last_layer_weight() const override { return linear_.weight; }
  int penultimate_stage() const override { return 1 + static_cast<int>(layers_.size()); }

 protected:
  // Adds `blocks` blocks of `width` as the next layer, named layer1, layer2, …; returns its channels. The
  // first block halves the sides, but in the first layer.
  int64_t add_layer(Builder& build, int blocks, ResidualBlock::Shape first,
                    const ResidualBlock::Shortcut& shortcut);

  // A layer's blocks one after the other.
  static at::Tensor through(const std::vector<ResidualBlock>& layer, const at::Tensor& x, bool training);

  Conv conv1_;
  BatchNorm bn1_;
  bool pools_ = false;  // a 3×3 max-pool of stride 2 ends the stem
  std::vector<std::vector<ResidualBlock>> layers_;
  Linear linear_;
};

}  // namespace mode_ensemble
