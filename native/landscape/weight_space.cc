#include "landscape/weight_space.h"

#include <cmath>

#include "checkpoint/tensor_file.h"
#include "checkpoint/weights.h"
#include "runtime/random.h"

namespace mode_ensemble {
namespace {

// In (0, 1).
double uniform(RandomStream& random) { return (static_cast<double>(random.next() >> 11) + 0.5) * 0x1p-53; }

// Standard normal numbers in row-major order, by Box and Muller in float64: no instruction set changes them.
at::Tensor draw_normal(at::IntArrayRef shape, RandomStream random) {
  auto out = at::empty(shape, at::kFloat);
  auto* to = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); i += 2) {
    const double radius = std::sqrt(-2 * std::log(uniform(random)));
    const double angle = 2 * M_PI * uniform(random);
    to[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < out.numel()) to[i + 1] = static_cast<float>(radius * std::sin(angle));
  }
  return out;
}

// Each row of `drawn` with the norm of the row of `weight`, as the rule above says it.
at::Tensor filter_normalised(const at::Tensor& drawn, const at::Tensor& weight) {
  const auto rows = [](const at::Tensor& tensor) {
    return tensor.contiguous().reshape({tensor.size(0), -1}).to(at::kDouble);
  };
  const auto own = rows(drawn);
  const auto wanted = rows(weight).norm(2, 1, /*keepdim=*/true);
  return (own * (wanted / (own.norm(2, 1, true) + 1e-10))).to(at::kFloat).reshape(drawn.sizes());
}

}  // namespace

WeightSpace::WeightSpace(const ArchOptions& arch, const std::vector<std::string>& checkpoints,
                         int64_t directions, uint64_t seed)
    : arch_(arch) {
  const c10::NoGradGuard no_grad;
  for (const auto& checkpoint : checkpoints) add(open_network(arch, checkpoint));
  for (int64_t number = 1; number <= directions; ++number) add_direction(number, seed);
}

void WeightSpace::add_direction(int64_t number, uint64_t seed) {
  const auto& origin = vectors_.front()->weights();
  std::shared_ptr<Network> direction = make_network(arch_, {Init::empty});
  direction->to_channels_last();
  for (size_t i = 0; i < origin.size(); ++i) {
    auto tensor = direction->weights()[i].tensor;
    if (!origin[i].trained || tensor.dim() < 2) {
      tensor.zero_();
      continue;
    }
    const RandomStream random(seed, "landscape-direction", static_cast<uint64_t>(number), i);
    tensor.copy_(filter_normalised(draw_normal(tensor.sizes(), random), origin[i].tensor));
  }
  vectors_.push_back(std::move(direction));
  ++directions_;
}

std::unique_ptr<Network> WeightSpace::at(const double* coefficients) const {
  const c10::NoGradGuard no_grad;
  auto network = make_network(arch_, {Init::empty});
  network->to_channels_last();
  fill(*network, coefficients);
  return network;
}

void WeightSpace::fill(Network& network, const double* coefficients) const {
  const c10::NoGradGuard no_grad;
  const auto& weights = network.weights();
  for (size_t i = 0; i < weights.size(); ++i) {
    auto to = weights[i].tensor;
    if (!to.is_floating_point()) {
      to.copy_(vectors_.front()->weights()[i].tensor);
      continue;
    }
    // A vector that is taken whole and alone comes out bit for bit.
    bool is_begun = false;
    for (size_t k = 0; k < vectors_.size(); ++k) {
      if (coefficients[k] == 0) continue;
      const auto& tensor = vectors_[k]->weights()[i].tensor;
      if (is_begun)
        to.add_(tensor, coefficients[k]);
      else if (to.copy_(tensor); coefficients[k] != 1)
        to.mul_(coefficients[k]);
      is_begun = true;
    }
    if (!is_begun) to.zero_();
  }
}

std::vector<double> WeightSpace::products() const {
  const size_t count = vectors_.size();
  std::vector<double> out(count * count, 0);
  for (size_t a = 0; a < count; ++a)
    for (size_t b = a; b < count; ++b) {
      const auto left = vectors_[a]->parameters(), right = vectors_[b]->parameters();
      double sum = 0;
      for (size_t i = 0; i < left.size(); ++i)
        sum += (left[i].to(at::kDouble) * right[i].to(at::kDouble)).sum().item<double>();
      out[a * count + b] = out[b * count + a] = sum;
    }
  return out;
}

void WeightSpace::save_directions(const std::string& path) const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  const size_t first = vectors_.size() - static_cast<size_t>(directions_);
  for (size_t k = first; k < vectors_.size(); ++k)
    for (const auto& weight : vectors_[k]->weights())
      if (weight.trained)
        tensors.emplace_back("direction" + std::to_string(k - first + 1) + "." + weight.name, weight.tensor);
  write_tensors(path, tensors, {});
}

}  // namespace mode_ensemble
