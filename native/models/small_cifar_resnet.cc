// The ResNets that He et al. trained on CIFAR-10 (arXiv 1512.03385, section 4.2): 6n + 2 layers, 16 to 64
// channels. Two published forms: shortcuts of option A, with keys, layout and initial weights of
// github.com/akamaster/pytorch_resnet_cifar10 (Y. Idelbayev), resnet.py; and the same network with 1×1
// convolutions on the shortcuts and torch.nn's initial weights.
#include "models/residual.h"

namespace mode_ensemble {
namespace {

class SmallCifarResNet : public ResidualNetwork {
 public:
  SmallCifarResNet(const ArchOptions& arch, int depth, bool projects, const Init& init) {
    using Shortcut = ResidualBlock::Shortcut;
    const Shortcut shortcut{projects ? Shortcut::project : Shortcut::pad};
    Builder build(init, weights_);
    conv1_ = build.conv("conv1", 3, arch.width, 3, 1, 1);
    bn1_ = build.batch_norm("bn1", arch.width);
    int64_t in = arch.width;
    for (int layer = 0; layer < 3; ++layer)
      in = add_layer(build, (depth - 2) / 6, {in, arch.width << layer}, shortcut);
    linear_ = build.linear("linear", in, arch.classes);
    if (projects) return;
    // self.apply(kaiming_normal_ on every Conv2d's and Linear's weight), in the order of modules().
    for (const auto& weight : weights_)
      if (weight.tensor.dim() >= 2) build.kaiming_normal(weight.tensor, Builder::Fan::in);
  }
};

}  // namespace

std::unique_ptr<Network> make_small_cifar_resnet(const ArchOptions& arch, int depth, bool projects,
                                                 const Init& init) {
  return std::make_unique<SmallCifarResNet>(arch, depth, projects, init);
}

}  // namespace mode_ensemble
