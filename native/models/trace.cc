#include "models/trace.h"

#include "checkpoint/tensor_file.h"
#include "checkpoint/weights.h"
#include "models/network.h"
#include "runtime/device.h"

namespace mode_ensemble {

TraceResult trace(const TraceOptions& options, JobContext& context) {
  use_threads(options.threads);
  const bool initial = options.checkpoint.empty();
  const auto network =
      make_network(options.arch, {initial ? Init::seeded : Init::empty, static_cast<uint64_t>(options.seed)});
  if (!initial) load_weights(*network, options.checkpoint);
  context.throw_if_aborted();
  const auto type = options.precision == "float64" ? at::kDouble : at::kFloat;
  network->to_type(type);
  network->to_channels_last();
  network->require_gradients(true);
  const auto input = read_tensors(options.input, {"images", "labels"});
  const auto images =
      input.at("images").to(type).contiguous(at::MemoryFormat::ChannelsLast).clone().requires_grad_(true);
  const auto result = network->forward(images, /*training=*/false, {.stages = true});
  at::cross_entropy_loss(result.logits, input.at("labels")).backward();
  context.throw_if_aborted();

  TraceResult out;
  for (const auto& weight : network->weights()) {
    ++out.tensors;
    if (!weight.trained) continue;
    out.parameters += weight.tensor.numel();
    if (!weight.tensor.grad().defined()) out.withoutGradient.push_back(weight.name);
  }
  const c10::NoGradGuard no_grad;
  std::vector<std::pair<std::string, at::Tensor>> tensors{
      {"logits", result.logits},
      {"penultimate", result.penultimate},
      {"head_map", network->head(result.stages.back())},
      {"head_vector", network->head(result.penultimate)},
      {"last_layer", network->last_layer_weight()},
      {"input_gradient", images.grad()},
  };
  if (network->rank1_stages() > 1)
    tensors.emplace_back("resumed", network->resume(result.stages[result.stages.size() - 2]));
  for (size_t k = 0; k < result.stages.size(); ++k)
    tensors.emplace_back("stage" + std::to_string(k + 1), result.stages[k]);
  write_tensors(options.output, tensors, {});
  return out;
}

}  // namespace mode_ensemble
