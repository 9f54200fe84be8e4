// ResNets for 32×32 images (3×3 stem, no max-pool), keys as in the paper's published checkpoints.
#include <array>

#include "models/layers.h"

namespace mode_ensemble {
namespace {

struct BasicBlock {
  Conv conv1, conv2, shortcut_conv;
  BatchNorm bn1, bn2, shortcut_bn;
  bool projects = false;

  BasicBlock(Builder& build, const std::string& name, int64_t in, int64_t out, int64_t stride)
      : conv1(build.conv(name + ".conv1", in, out, 3, stride, 1)) {
    bn1 = build.batch_norm(name + ".bn1", out);
    conv2 = build.conv(name + ".conv2", out, out, 3, 1, 1);
    bn2 = build.batch_norm(name + ".bn2", out);
    projects = stride != 1 || in != out;
    if (!projects) return;
    shortcut_conv = build.conv(name + ".shortcut.0", in, out, 1, stride, 0);
    shortcut_bn = build.batch_norm(name + ".shortcut.1", out);
  }

  // In place wherever autograd allows: batch norm keeps its input, ReLU its output.
  at::Tensor operator()(const at::Tensor& x, bool training) const {
    auto y = bn1(conv1(x), training).relu_();
    y = bn2(conv2(y), training);
    y.add_(projects ? shortcut_bn(shortcut_conv(x), training) : x);
    return y.relu_();
  }
};

class CifarResNet : public Network {
 public:
  CifarResNet(const ArchOptions& arch, std::array<int, 4> blocks, const Init& init) {
    Builder build(init, weights_);
    const int64_t width = arch.width;
    conv1_ = build.conv("conv1", 3, width, 3, 1, 1);
    bn1_ = build.batch_norm("bn1", width);
    int64_t in = width;
    for (int layer = 0; layer < 4; ++layer) {
      const int64_t out = width << layer;
      for (int block = 0; block < blocks[layer]; ++block) {
        const int64_t stride = layer > 0 && block == 0 ? 2 : 1;
        const auto name = "layer" + std::to_string(layer + 1) + "." + std::to_string(block);
        layers_[layer].emplace_back(build, name, in, out, stride);
        in = out;
      }
    }
    linear_ = build.linear("linear", in, arch.classes);
  }

  ForwardResult forward(const at::Tensor& images, bool training, bool want_stages) override {
    ForwardResult result;
    auto x = bn1_(conv1_(images), training).relu_();
    if (want_stages) result.stages.push_back(x);
    for (const auto& layer : layers_) {
      for (const auto& block : layer) x = block(x, training);
      if (want_stages) result.stages.push_back(x);
    }
    result.penultimate = global_average(x);
    result.logits = linear_(result.penultimate);
    return result;
  }

  at::Tensor head(const at::Tensor& feature) const override {
    return linear_(feature.dim() == 4 ? global_average(feature) : feature);
  }

  at::Tensor last_layer_weight() const override { return linear_.weight; }
  int penultimate_stage() const override { return 5; }

 private:
  Conv conv1_;
  BatchNorm bn1_;
  std::array<std::vector<BasicBlock>, 4> layers_;
  Linear linear_;
};

}  // namespace

std::unique_ptr<Network> make_cifar_resnet(const ArchOptions& arch, std::array<int, 4> blocks,
                                           const Init& init) {
  return std::make_unique<CifarResNet>(arch, blocks, init);
}

}  // namespace mode_ensemble
