// DenseNet-BC in two published forms: torchvision's for ImageNet, and that of Andreas Veit's densenet-pytorch
// for 32×32 images. They differ in stem, names and initial weights. Huang et al., CVPR 2017, arXiv
// 1608.06993.
#include <array>
#include <cmath>

#include "models/dense_block.h"
#include "models/layers.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kBottleneck = 4;  // channels between a layer's two convolutions, in multiples of the growth

struct DenseLayer {
  BatchNorm norm1, norm2;
  Conv conv1, conv2;

  DenseLayer(Builder& build, const std::string& name, const std::string& norm, int64_t in, int64_t growth)
      : norm1(build.batch_norm(name + "." + norm + "1", in)) {
    conv1 = build.conv(name + ".conv1", in, kBottleneck * growth, 1, 1, 0);
    norm2 = build.batch_norm(name + "." + norm + "2", kBottleneck * growth);
    conv2 = build.conv(name + ".conv2", kBottleneck * growth, growth, 3, 1, 1);
  }

  // [N, in, H, W] → [N, in + growth, H, W]; the input's channels come first. ReLU is in place, since batch
  // norm keeps its input alone.
  at::Tensor operator()(const at::Tensor& x, bool training) const {
    const auto y = convolve(conv1, norm2, norm1(x, training, {.add = {}, .relu = true}), training,
                            {.add = {}, .relu = true});
    return at::cat({x, conv2(y)}, 1);
  }
};

struct Transition {
  BatchNorm norm;
  Conv conv;

  Transition(Builder& build, const std::string& norm_name, const std::string& conv_name, int64_t in)
      : norm(build.batch_norm(norm_name, in)), conv(build.conv(conv_name, in, in / 2, 1, 1, 0)) {}

  at::Tensor operator()(const at::Tensor& x, bool training) const {
    return at::avg_pool2d(conv(norm(x, training, {.add = {}, .relu = true})), 2);
  }
};

class DenseNet : public Network {
 public:
  // Stages: stem, each transition, the last normalisation before its ReLU.
  ForwardResult forward(const at::Tensor& images, bool training, const Want& want) override {
    ForwardResult result;
    auto x = stem(images, training);
    if (result.ends_with(x, want)) return result;
    for (size_t b = 0; b < blocks_.size(); ++b) {
      x = block(b, x, training);
      if (result.ends_with(x, want)) return result;
    }
    result.penultimate = global_average(want.stages ? x.relu() : x.relu_());
    result.logits = classifier_(result.penultimate);
    return result;
  }

  // A layer's first norm reads what later layers read too.
  void freeze(const Freeze& how) override {
    for (size_t b = 0; b < blocks_.size(); ++b) {
      std::vector<DenseBlock::Layer> layers;
      for (auto& layer : blocks_[b]) {
        fold(layer.conv1, layer.norm2);
        layers.push_back({layer.norm1, layer.conv1, layer.conv2});
      }
      const bool last = b == transitions_.size();
      frozen_.push_back(DenseBlock::make(layers, last ? norm_ : transitions_[b].norm,
                                         last ? nullptr : &transitions_[b].conv, how.type));
      for (auto& layer : blocks_[b]) {
        mode_ensemble::freeze(layer.conv1, how);
        mode_ensemble::freeze(layer.conv2, how);
      }
    }
    for (auto& transition : transitions_) mode_ensemble::freeze(transition.conv, how);
  }

  at::Tensor head(const at::Tensor& feature) const override {
    return classifier_(feature.dim() == 4 ? global_average(feature.relu()) : feature);
  }

  at::Tensor resume(const at::Tensor& map) const override {
    return head(block(blocks_.size() - 1, map, /*training=*/false));
  }

  at::Tensor last_layer_weight() const override { return classifier_.weight; }
  int penultimate_stage() const override { return 0; }

 protected:
  virtual at::Tensor stem(const at::Tensor& images, bool training) const = 0;

  // A block's layers and its transition, or the last norm.
  at::Tensor block(size_t b, const at::Tensor& map, bool training) const {
    if (b < frozen_.size() && frozen_[b] && map.is_cpu()) return (*frozen_[b])(map);
    auto x = map;
    for (const auto& layer : blocks_[b]) x = layer(x, training);
    return b == transitions_.size() ? norm_(x, training) : transitions_[b](x, training);
  }

  // All convolutions in the order of modules(), for initial weights that are drawn again.
  std::vector<Conv> convolutions(const Conv& first) const {
    std::vector<Conv> convs{first};
    for (size_t b = 0; b < blocks_.size(); ++b) {
      for (const auto& layer : blocks_[b]) convs.insert(convs.end(), {layer.conv1, layer.conv2});
      if (b < transitions_.size()) convs.push_back(transitions_[b].conv);
    }
    return convs;
  }

  std::vector<std::vector<DenseLayer>> blocks_;
  std::vector<Transition> transitions_;  // one fewer than blocks
  // Once the network is frozen, one for each block; null where layers go one by one.
  std::vector<std::unique_ptr<const DenseBlock>> frozen_;
  BatchNorm norm_;
  Linear classifier_;
};

class TorchvisionDenseNet : public DenseNet {
 public:
  TorchvisionDenseNet(const ArchOptions& arch, std::array<int, 4> layers, const Init& init) {
    Builder build(init, weights_);
    const int64_t growth = arch.width / 2;
    int64_t channels = arch.width;
    conv0_ = build.conv("features.conv0", 3, channels, 7, 2, 3);
    norm0_ = build.batch_norm("features.norm0", channels);
    for (size_t b = 0; b < layers.size(); ++b) {
      const auto number = std::to_string(b + 1);
      auto& block = blocks_.emplace_back();
      for (int i = 1; i <= layers[b]; ++i) {
        const auto name = "features.denseblock" + number + ".denselayer" + std::to_string(i);
        block.emplace_back(build, name, "norm", channels, growth);
        channels += growth;
      }
      if (b + 1 == layers.size()) break;
      const auto name = "features.transition" + number;
      transitions_.emplace_back(build, name + ".norm", name + ".conv", channels);
      channels /= 2;
    }
    norm_ = build.batch_norm("features.norm5", channels);
    classifier_ = build.linear("classifier", channels, arch.classes);
    for (const auto& conv : convolutions(conv0_)) build.kaiming_normal(conv.weight, Builder::Fan::in);
    build.zero(classifier_.bias);
  }

  // Files published for older releases write denselayer1.norm.1.weight for denselayer1.norm1.weight, since
  // module names could then have a dot: the pattern of torchvision's _load_state_dict.
  std::string current_name(const std::string& stored) const override {
    for (const char* kind : {".norm.", ".relu.", ".conv."}) {
      const auto dot = stored.rfind(kind);
      if (dot == std::string::npos) continue;
      const auto tail = stored.substr(dot + 6);
      const bool known = tail.size() > 2 && (tail[0] == '1' || tail[0] == '2') && tail[1] == '.';
      const auto last = known ? tail.substr(2) : "";
      if (last != "weight" && last != "bias" && last != "running_mean" && last != "running_var") continue;
      const auto digits = stored.find_last_not_of("0123456789", dot - 1);
      constexpr std::string_view layer = "denselayer";
      if (dot == 0 || digits == std::string::npos || digits + 1 == dot || digits + 1 < layer.size()) continue;
      if (stored.compare(digits + 1 - layer.size(), layer.size(), layer) != 0) continue;
      return stored.substr(0, dot + 5) + tail;
    }
    return stored;
  }

  void freeze(const Freeze& how) override {
    mode_ensemble::freeze(conv0_, norm0_, how);
    DenseNet::freeze(how);
  }

 protected:
  at::Tensor stem(const at::Tensor& images, bool training) const override {
    return max_pool(convolve(conv0_, norm0_, images, training, {.add = {}, .relu = true}));
  }

 private:
  Conv conv0_;
  BatchNorm norm0_;
};

class CifarDenseNet : public DenseNet {
 public:
  CifarDenseNet(const ArchOptions& arch, int layers, const Init& init) {
    Builder build(init, weights_);
    const int64_t growth = arch.width / 2;
    int64_t channels = arch.width;
    conv1_ = build.conv("conv1", 3, channels, 3, 1, 1);
    for (int b = 1; b <= 3; ++b) {
      auto& block = blocks_.emplace_back();
      for (int i = 0; i < layers; ++i) {
        const auto name = "block" + std::to_string(b) + ".layer." + std::to_string(i);
        block.emplace_back(build, name, "bn", channels, growth);
        channels += growth;
      }
      if (b == 3) break;
      const auto name = "trans" + std::to_string(b);
      transitions_.emplace_back(build, name + ".bn1", name + ".conv1", channels);
      channels /= 2;
    }
    norm_ = build.batch_norm("bn1", channels);
    classifier_ = build.linear("fc", channels, arch.classes);
    for (const auto& conv : convolutions(conv1_)) {
      const auto& w = conv.weight;  // [out, in, k, k]
      build.normal(w, 0, std::sqrt(2.0 / static_cast<double>(w.size(2) * w.size(3) * w.size(0))));
    }
    build.zero(classifier_.bias);
  }

 protected:
  at::Tensor stem(const at::Tensor& images, bool) const override { return conv1_(images); }

  void freeze(const Freeze& how) override {
    mode_ensemble::freeze(conv1_, how);
    DenseNet::freeze(how);
  }

 private:
  Conv conv1_;
};

}  // namespace

std::unique_ptr<Network> make_densenet(const ArchOptions& arch, std::array<int, 4> layers, const Init& init) {
  return std::make_unique<TorchvisionDenseNet>(arch, layers, init);
}

std::unique_ptr<Network> make_cifar_densenet(const ArchOptions& arch, int layers, const Init& init) {
  return std::make_unique<CifarDenseNet>(arch, layers, init);
}

}  // namespace mode_ensemble
