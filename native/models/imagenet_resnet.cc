// ResNets for 224×224 images: keys, layout and initial weights of torchvision/models/resnet.py.
#include "models/residual.h"

namespace mode_ensemble {
namespace {

class ImageNetResNet : public ResidualNetwork {
 public:
  ImageNetResNet(const ArchOptions& arch, const ResNetDepth& depth, const Init& init) {
    Builder build(init, weights_);
    conv1_ = build.conv("conv1", 3, arch.width, 7, 2, 3);
    bn1_ = build.batch_norm("bn1", arch.width);
    pools_ = true;
    int64_t in = arch.width;
    for (int layer = 0; layer < 4; ++layer)
      in = add_layer(build, depth.blocks[layer], {in, arch.width << layer, 1, depth.bottleneck},
                     {.name = "downsample"});
    linear_ = build.linear("fc", in, arch.classes);
    // torchvision draws every convolution a second time, in the order of modules(), when all layers are made.
    // Python makes `downsample` before its block; no number depends on it, since a uniform draw takes one
    // random number an element and all of these draws are thrown away.
    for (const auto& weight : weights_)
      if (weight.tensor.dim() == 4) build.kaiming_normal(weight.tensor, Builder::Fan::out);
  }
};

}  // namespace

std::unique_ptr<Network> make_imagenet_resnet(const ArchOptions& arch, int depth, const Init& init) {
  return std::make_unique<ImageNetResNet>(arch, resnet_depth(depth), init);
}

}  // namespace mode_ensemble
