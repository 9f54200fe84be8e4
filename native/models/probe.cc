#include "models/probe.h"

#include "checkpoint/weights.h"
#include "models/network.h"

namespace mode_ensemble {

ProbeResult probe(const ProbeOptions& options, JobContext& context) {
  const c10::NoGradGuard no_grad;
  const auto start = std::chrono::steady_clock::now();
  const auto network = open_network(options.arch, options.checkpoint);
  const double seconds = seconds_since(start);
  context.throw_if_aborted();
  const auto image = at::zeros({1, 3, options.size, options.size});
  const auto result = network->forward(image, /*training=*/false, {.stages = true});
  return {result.logits.size(1), result.penultimate.defined() ? result.penultimate.size(1) : 0,
          static_cast<int64_t>(result.stages.size()), seconds};
}

}  // namespace mode_ensemble
