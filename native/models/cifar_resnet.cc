// ResNets for 32×32 images (3×3 stem, no max-pool), keys as in the paper's published checkpoints; layout and
// initial weights (torch.nn's) as in github.com/kuangliu/pytorch-cifar, models/resnet.py.
#include "models/residual.h"

namespace mode_ensemble {
namespace {

class CifarResNet : public ResidualNetwork {
 public:
  CifarResNet(const ArchOptions& arch, const ResNetDepth& depth, const Init& init) {
    Builder build(init, weights_);
    conv1_ = build.conv("conv1", 3, arch.width, 3, 1, 1);
    bn1_ = build.batch_norm("bn1", arch.width);
    int64_t in = arch.width;
    for (int layer = 0; layer < 4; ++layer)
      in = add_layer(build, depth.blocks[layer], {in, arch.width << layer, 1, depth.bottleneck}, {});
    linear_ = build.linear("linear", in, arch.classes);
  }
};

}  // namespace

std::unique_ptr<Network> make_cifar_resnet(const ArchOptions& arch, int depth, const Init& init) {
  return std::make_unique<CifarResNet>(arch, resnet_depth(depth), init);
}

}  // namespace mode_ensemble
