#include "models/train_norm.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "linalg/instruction_set.h"
#include "linalg/norm_kernels.h"

namespace mode_ensemble {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;
constexpr double kEpsilon = 1e-5;  // torch.nn.BatchNorm2d's
// Rows of which the mean is first taken roughly.
constexpr int64_t kLookedAt = 32;

const NormKernels* kernels() {
  static const auto* const chosen = fastest(all_norm_kernels());
  return chosen;
}

bool is_half(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16; }

NormRows rows_of(const at::Tensor& x) {
  NormRows rows;
  rows.half = is_half(x);
  rows.channels = x.size(1);
  rows.last = x.numel() / x.size(1);
  rows.x = x.const_data_ptr();
  return rows;
}

// Calls of(part, rows) for each thread's share of the rows.
template <typename Of>
void by_threads(const NormRows& all, const Of& of) {
  const int64_t parts = at::get_num_threads();
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      NormRows rows = all;
      rows.first = all.last * part / parts;
      rows.last = all.last * (part + 1) / parts;
      of(part, rows);
    }
  });
}

// Two sums for each channel, over all rows.
struct Sums {
  std::vector<double> first, second;
};

template <typename Of>
Sums sum_by_threads(const NormRows& all, const Of& of) {
  const auto channels = static_cast<size_t>(all.channels);
  std::vector<Sums> parts(static_cast<size_t>(at::get_num_threads()));
  by_threads(all, [&](int64_t part, const NormRows& rows) {
    Sums& own = parts[static_cast<size_t>(part)];
    own = {std::vector<double>(channels), std::vector<double>(channels)};
    of(rows, own.first.data(), own.second.data());
  });
  Sums& total = parts.front();
  for (size_t part = 1; part < parts.size(); ++part)
    for (size_t c = 0; c < channels; ++c) {
      total.first[c] += parts[part].first[c];
      total.second[c] += parts[part].second[c];
    }
  return std::move(total);
}

// The mean of some of the rows.
std::vector<float> rough_mean(const NormRows& all) {
  const auto channels = static_cast<size_t>(all.channels);
  const std::vector<float> zero(channels);
  std::vector<double> sums(channels), unused(channels);
  const int64_t looked_at = std::min(all.last, kLookedAt);
  for (int64_t i = 0; i < looked_at; ++i) {
    NormRows row = all;
    row.first = all.last * i / looked_at;
    row.last = row.first + 1;
    kernels()->moments(row, zero.data(), sums.data(), unused.data());
  }
  std::vector<float> mean(channels);
  for (size_t c = 0; c < channels; ++c)
    mean[c] = static_cast<float>(sums[c] / static_cast<double>(looked_at));
  return mean;
}

// What the passes need of each channel; rows of a float32 tensor [4, C].
struct Channels {
  explicit Channels(const at::Tensor& all)
      : mean(all.mutable_data_ptr<float>()),
        deviation(mean + all.size(1)),
        scale(mean + 2 * all.size(1)),
        offset(mean + 3 * all.size(1)) {}
  float *mean, *deviation;  // the latter's inverse
  float *scale, *offset;    // y = x · scale + offset
};

// The batch's statistics; the running ones move towards them, their variance by N − 1.
at::Tensor measure(const NormRows& rows, const BatchNorm& norm, double momentum) {
  const auto shift = rough_mean(rows);
  const auto sums = sum_by_threads(rows, [&](const NormRows& part, double* first, double* second) {
    kernels()->moments(part, shift.data(), first, second);
  });
  auto all = at::empty({4, rows.channels}, at::kFloat);
  const Channels to(all);
  const auto* weight = norm.weight.const_data_ptr<float>();
  const auto* bias = norm.bias.const_data_ptr<float>();
  auto* running_mean = norm.mean.mutable_data_ptr<float>();
  auto* running_variance = norm.variance.mutable_data_ptr<float>();
  const auto count = static_cast<double>(rows.last);
  const double stay = 1 - momentum;
  for (int64_t c = 0; c < rows.channels; ++c) {
    const auto at = static_cast<size_t>(c);
    const double beside = sums.first[at] / count;
    const double mean = shift[at] + beside;
    // max, in this order, keeps NaN.
    const double variance = std::max(sums.second[at] / count - beside * beside, 0.0);
    const double deviation = 1 / std::sqrt(variance + kEpsilon);
    to.mean[c] = static_cast<float>(mean);
    to.deviation[c] = static_cast<float>(deviation);
    to.scale[c] = static_cast<float>(weight[c] * deviation);
    to.offset[c] = static_cast<float>(bias[c] - mean * weight[c] * deviation);
    running_mean[c] = static_cast<float>(momentum * mean + stay * running_mean[c]);
    running_variance[c] =
        static_cast<float>(momentum * variance * count / (count - 1) + stay * running_variance[c]);
  }
  return all;
}

struct TrainNorm : torch::autograd::Function<TrainNorm> {
  // weight and bias are the norm's; they are named so that their gradients find them.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& /*weight*/, const at::Tensor& /*bias*/,
                            const std::optional<at::Tensor>& add, const BatchNorm* norm, double momentum,
                            bool relu) {
    NormRows rows = rows_of(x);
    const auto channels = measure(rows, *norm, momentum);
    const Channels from(channels);
    auto y = at::empty_like(x);
    rows.scale = from.scale, rows.offset = from.offset, rows.relu = relu;
    rows.add = add ? add->const_data_ptr() : nullptr;
    rows.y = y.mutable_data_ptr();
    by_threads(rows, [](int64_t, const NormRows& part) { kernels()->apply(part); });
    const bool looks_up = relu && add.has_value();
    context->save_for_backward({x, channels, looks_up ? y : at::Tensor()});
    context->saved_data["relu"] = relu;
    context->saved_data["add"] = add.has_value();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &channels = saved[1], &y = saved[2];
    const bool relu = context->saved_data["relu"].toBool(), add = context->saved_data["add"].toBool();
    const auto gradient = gradients[0].to(x.scalar_type()).contiguous(kChannelsLast);
    const Channels from(channels);
    NormRows rows = rows_of(x);
    rows.scale = from.scale, rows.offset = from.offset, rows.relu = relu;
    rows.y = y.defined() ? y.data_ptr() : nullptr;
    rows.gradient = gradient.const_data_ptr();
    const auto sums = sum_by_threads(rows, [&](const NormRows& part, double* first, double* second) {
      kernels()->gradient_sums(part, from.mean, first, second);
    });

    const auto of_weight = at::empty({rows.channels}, at::kFloat), of_bias = at::empty_like(of_weight);
    const auto shifts = at::empty({2, rows.channels}, at::kFloat);
    auto *weights = of_weight.mutable_data_ptr<float>(), *biases = of_bias.mutable_data_ptr<float>();
    auto *slope = shifts.mutable_data_ptr<float>(), *level = slope + rows.channels;
    const auto count = static_cast<double>(rows.last);
    for (int64_t c = 0; c < rows.channels; ++c) {
      const auto at = static_cast<size_t>(c);
      const double deviation = from.deviation[c], scale = from.scale[c];
      weights[c] = static_cast<float>(sums.second[at] * deviation);
      biases[c] = static_cast<float>(sums.first[at]);
      slope[c] = static_cast<float>(scale * deviation * deviation * sums.second[at] / count);
      level[c] =
          static_cast<float>(scale * sums.first[at] / count - static_cast<double>(slope[c]) * from.mean[c]);
    }

    const auto of_x = at::empty_like(x);
    // Without a ReLU what was added has the gradient of y itself.
    const auto of_add = !add ? at::Tensor() : relu ? at::empty_like(x) : gradient;
    const NormGradient how{slope, level, of_x.data_ptr(), add && relu ? of_add.data_ptr() : nullptr};
    by_threads(rows, [&](int64_t, const NormRows& part) { kernels()->gradient(part, how); });
    return {of_x, of_weight, of_bias, of_add, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool suits_train_norm(const BatchNorm& norm, const at::Tensor& x, const Then& then) {
  const auto type = x.scalar_type();
  const bool added =
      !then.add.defined() || (then.add.scalar_type() == type && then.add.is_contiguous(kChannelsLast) &&
                              then.add.sizes() == x.sizes());
  return kernels() != nullptr && added && x.is_cpu() && x.dim() == 4 && x.is_contiguous(kChannelsLast) &&
         (type == at::kFloat || type == at::kBFloat16) && norm.weight.scalar_type() == at::kFloat &&
         x.size(1) % kNormChannels == 0 && x.numel() > x.size(1);
}

at::Tensor train_norm(const BatchNorm& norm, const at::Tensor& x, const Then& then, double momentum) {
  const auto add = then.add.defined() ? std::optional<at::Tensor>(then.add) : std::nullopt;
  return TrainNorm::apply(x, norm.weight, norm.bias, add, &norm, momentum, then.relu);
}

}  // namespace mode_ensemble
