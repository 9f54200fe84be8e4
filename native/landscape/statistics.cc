#include "landscape/statistics.h"

#include "models/layers.h"
#include "runtime/compute.h"
#include "runtime/device.h"

namespace mode_ensemble {

bool has_running_statistics(const Network& network) {
  for (const auto& weight : network.weights())
    if (weight.name.ends_with("running_var")) return true;
  return false;
}

void estimate_statistics(Network& network, const HeldImages& images, const std::string& precision,
                         uint64_t seed, const JobContext& context) {
  if (!has_running_statistics(network)) return;
  const c10::NoGradGuard no_grad;
  network.seed_dropout(seed);
  double seen = 0;
  for (const auto& batch : images.batches) {
    context.throw_if_aborted();
    const auto rows = static_cast<double>(batch.images.size(0));
    seen += rows;
    // The first batch's share is 1: what stood there before is gone.
    const NormMomentum momentum(rows / seen);
    const Autocast autocast(precision);
    network.forward(batch.images, /*training=*/true, {});
  }
}

}  // namespace mode_ensemble
