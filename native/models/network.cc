#include "models/network.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include "runtime/error.h"

namespace mode_ensemble {

void Network::prepare(const Freeze& how) {
  if (how.plain) return;
  for (const auto& [name, tensor, trained] : weights_) {
    if (!tensor.is_floating_point()) continue;
    const bool usable = at::isfinite(tensor).all().item<bool>() &&
                        (!name.ends_with("running_var") || tensor.ge(0).all().item<bool>());
    if (!usable) return;
  }
  freeze(how);
}

std::vector<at::Tensor> Network::parameters() const {
  std::vector<at::Tensor> tensors;
  for (const auto& weight : weights_)
    if (weight.trained) tensors.push_back(weight.tensor);
  return tensors;
}

NetworkSize measure_network(const ArchOptions& arch) {
  const auto network = make_network(arch, {Init::shapes});
  NetworkSize size;
  for (const auto& weight : network->weights()) {
    ++size.tensors;
    if (weight.trained) size.parameters += weight.tensor.numel();
  }
  return size;
}

void Network::to_channels_last() {
  // set_data: the layers and the table hold the same tensor and must go on doing so.
  for (auto& weight : weights_)
    if (weight.tensor.dim() == 4)
      weight.tensor.set_data(weight.tensor.contiguous(at::MemoryFormat::ChannelsLast));
}

void Network::to_type(at::ScalarType type) {
  for (auto& weight : weights_)
    if (weight.tensor.is_floating_point()) weight.tensor.set_data(weight.tensor.to(type));
}

void Network::to_device(at::Device device) {
  for (auto& weight : weights_)
    if (weight.tensor.device() != device) weight.tensor.set_data(weight.tensor.to(device));
}

void Network::require_gradients(bool on) {
  for (auto& weight : weights_)
    if (weight.trained) weight.tensor.set_requires_grad(on);
}

void Network::seed_dropout(uint64_t seed) {
  if (!dropout_random_.defined()) {
    const auto device = weights_.front().tensor.device();
    dropout_random_ = device.is_cuda() ? at::detail::getCUDAHooks().getNewGenerator(device.index())
                                       : at::make_generator<at::CPUGeneratorImpl>(seed);
  }
  dropout_random_.set_current_seed(seed);
}

at::Tensor Network::draw_kept(const at::Tensor& like, at::IntArrayRef shape, double p) {
  if (!dropout_random_.defined()) seed_dropout(0);
  return at::empty(shape, like.options()).bernoulli_(1 - p, dropout_random_).div_(1 - p);
}

at::Tensor Network::dropout(const at::Tensor& x, double p, bool training) {
  if (!training || p == 0) return x;
  return x * draw_kept(x, x.sizes(), p);
}

at::Tensor Network::drop_path(const at::Tensor& x, double p, bool training) {
  if (!training || p == 0) return x;
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return x * draw_kept(x, shape, p);
}

void Network::set_drop_path(double p) {
  if (p != 0) throw Error(ErrorCode::config, "dropPath: this architecture has none; expected 0.");
}

}  // namespace mode_ensemble
