#include "models/network.h"

namespace mode_ensemble {

std::vector<at::Tensor> Network::parameters() const {
  std::vector<at::Tensor> tensors;
  for (const auto& weight : weights_)
    if (weight.trained) tensors.push_back(weight.tensor);
  return tensors;
}

void Network::to_channels_last() {
  // set_data: the layers and the table hold the same tensor and must go on doing so.
  for (auto& weight : weights_)
    if (weight.tensor.dim() == 4)
      weight.tensor.set_data(weight.tensor.contiguous(at::MemoryFormat::ChannelsLast));
}

void Network::require_gradients(bool on) {
  for (auto& weight : weights_)
    if (weight.trained) weight.tensor.set_requires_grad(on);
}

}  // namespace mode_ensemble
