#include "train/optimizer.h"

#include <array>

#include "runtime/error.h"

namespace mode_ensemble {
namespace {

std::vector<NamedTensor> trained_of(const Network& network) {
  std::vector<NamedTensor> trained;
  for (const auto& weight : network.weights())
    if (weight.trained) trained.push_back(weight);
  return trained;
}

// The gradients, each lying as its parameter does: the fused kernels walk memory.
std::vector<at::Tensor> gradients_of(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters.size());
  for (const auto& parameter : parameters) {
    auto gradient = parameter.grad();
    if (gradient.strides() != parameter.strides()) gradient = at::empty_like(parameter).copy_(gradient);
    gradients.push_back(gradient);
  }
  return gradients;
}

void list(std::vector<NamedTensor>& to, const std::vector<std::string>& names, const char* what,
          const std::vector<at::Tensor>& tensors) {
  for (size_t i = 0; i < names.size(); ++i) to.push_back({names[i] + "." + what, tensors[i]});
}

// SGD with momentum over all parameters in one call for each weight decay, without temporaries
// (torch.optim.SGD's rule).
class Sgd final : public Optimizer {
 public:
  Sgd(const OptimizerOptions& options, const Network& network) : Optimizer(network), options_(options) {
    for (const auto& weight : trained_of(network)) {
      Group& group = groups_[decays(options, weight) ? 0 : 1];
      group.names.push_back(weight.name);
      group.parameters.push_back(weight.tensor);
      group.momenta.push_back(at::zeros_like(weight.tensor));
    }
  }

  void step() override {
    const c10::NoGradGuard guard;
    for (size_t g = 0; g < groups_.size(); ++g) {
      Group& group = groups_[g];
      if (group.parameters.empty()) continue;
      // torch's first step takes the gradient as momentum; from zeros the rule gives the same.
      with_rate([&](const auto& rate) {
        at::_fused_sgd_(group.parameters, gradients_of(group.parameters), group.momenta,
                        g == 0 ? options_.weightDecay : 0.0, options_.momentum, rate, /*dampening=*/0.0,
                        options_.nesterov, /*maximize=*/false, /*is_first_step=*/false);
      });
      for (auto& parameter : group.parameters) parameter.mutable_grad().reset();
    }
  }

  std::vector<NamedTensor> memory() const override {
    std::vector<NamedTensor> kept;
    for (const Group& group : groups_) list(kept, group.names, "momentum", group.momenta);
    return kept;
  }

 private:
  struct Group {
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters, momenta;
  };

  OptimizerOptions options_;
  std::array<Group, 2> groups_;  // with weight decay, without
};

// AdamW over all parameters in one call for each weight decay (torch.optim.AdamW's rule; Loshchilov and
// Hutter, arXiv 1711.05101).
class AdamW final : public Optimizer {
 public:
  AdamW(const OptimizerOptions& options, const Network& network) : Optimizer(network), options_(options) {
    for (const auto& weight : trained_of(network)) {
      Group& group = groups_[decays(options, weight) ? 0 : 1];
      group.names.push_back(weight.name);
      group.parameters.push_back(weight.tensor);
      group.means.push_back(at::zeros_like(weight.tensor));
      group.squares.push_back(at::zeros_like(weight.tensor));
      group.steps.push_back(at::zeros({}, weight.tensor.options().dtype(at::kFloat)));
    }
  }

  void step() override {
    const c10::NoGradGuard guard;
    for (size_t g = 0; g < groups_.size(); ++g) {
      Group& group = groups_[g];
      if (group.parameters.empty()) continue;
      at::_foreach_add_(group.steps, 1);
      with_rate([&](const auto& rate) {
        at::_fused_adamw_(group.parameters, gradients_of(group.parameters), group.means, group.squares, {},
                          group.steps, rate, options_.beta1, options_.beta2,
                          g == 0 ? options_.weightDecay : 0.0, options_.epsilon, /*amsgrad=*/false,
                          /*maximize=*/false);
      });
      for (auto& parameter : group.parameters) parameter.mutable_grad().reset();
    }
  }

  std::vector<NamedTensor> memory() const override {
    std::vector<NamedTensor> kept;
    for (const Group& group : groups_) {
      list(kept, group.names, "mean", group.means);
      list(kept, group.names, "square", group.squares);
      list(kept, group.names, "step", group.steps);
    }
    return kept;
  }

 private:
  struct Group {
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters, means, squares, steps;
  };

  OptimizerOptions options_;
  std::array<Group, 2> groups_;  // with weight decay, without
};

template <typename Kind>
std::unique_ptr<Optimizer> make(const OptimizerOptions& options, const Network& network) {
  return std::make_unique<Kind>(options, network);
}

struct Row {
  const char* name;
  std::unique_ptr<Optimizer> (*make)(const OptimizerOptions&, const Network&);
};
constexpr Row kOptimizers[] = {{"sgd", make<Sgd>}, {"adamw", make<AdamW>}};

}  // namespace

bool decays(const OptimizerOptions& options, const NamedTensor& weight) {
  // As timm has it: a class token is a vector, whatever its shape.
  return options.decayOn == "all" || (weight.tensor.dim() > 1 && !weight.name.ends_with("cls_token"));
}

Optimizer::Optimizer(const Network& network) {
  const auto device = network.weights().front().tensor.device();
  if (!device.is_cpu()) on_device_ = at::zeros({}, at::TensorOptions(device).dtype(at::kFloat));
}

void Optimizer::set_rate(double learning_rate) {
  if (on_device_.defined() && learning_rate != rate_) on_device_.fill_(learning_rate);
  rate_ = learning_rate;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, const Network& network) {
  for (const auto& row : kOptimizers)
    if (options.name == row.name) return row.make(options, network);
  throw Error(ErrorCode::config, "optimizer.name: unknown optimizer \"" + options.name + "\".");
}

}  // namespace mode_ensemble
