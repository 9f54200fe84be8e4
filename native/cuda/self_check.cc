#include "cuda/self_check.h"

#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include "cuda/feed.h"
#include "cuda/nccl.h"
#include "cuda/recorded_step.h"
#include "cuda/square_batches.h"
#include "runtime/device.h"
#include "runtime/failure.h"

namespace mode_ensemble {
namespace {

struct Found {
  bool passed;
  std::string text;
};

class SelfCheck {
 public:
  SelfCheck(const CheckDeviceOptions& options, const Compute& compute, JobContext& context)
      : options_(options), compute_(compute), context_(context) {}

  Found batches_by_kernel() const { return batches(/*training=*/true); }
  Found batches_by_copies() const { return batches(/*training=*/false); }

  // Replayed with other inputs and another seed, a graph gives what the same work gives without.
  Found recorded() const {
    const auto random = at::detail::getCUDAHooks().getNewGenerator(compute_.device.index());
    auto total = at::zeros({}, on());
    std::string failure;
    const auto work = [&](const std::vector<at::Tensor>& inputs) {
      const auto kept = at::empty_like(inputs[0]).bernoulli_(0.5, random);
      total.add_(inputs[0].sum());
      return inputs[0] * 2 + kept;
    };
    RecordedStep step(64, random, work, [&](const std::string& why) { failure = why; });
    for (uint64_t i = 0; i < 8; ++i) {
      const auto input = at::full({64, 32}, static_cast<double>(i), on());
      at::Generator(random).set_current_seed(i);
      const auto found = step({input}).clone();
      at::Generator(random).set_current_seed(i);
      const auto expected = input * 2 + at::empty_like(input).bernoulli_(0.5, random);
      if (!failure.empty()) return {false, "not recorded: " + failure};
      if (!at::equal(found, expected)) return {false, "other numbers in step " + std::to_string(i)};
    }
    const auto sum = total.item<double>();
    constexpr double kSum = 28.0 * 64 * 32;
    return {sum == kSum, "8 steps of which 5 were replayed; sum " + std::to_string(sum)};
  }

  // With one rank a sum is what it was.
  Found summed() const {
    const auto alone = one_rank();
    Nccl nccl(*alone, compute_.device);
    const auto tensor = at::arange(1 << 20, on());
    const auto before = tensor.clone();
    nccl.sum(tensor);
    nccl.broadcast(tensor);
    nccl.join();
    return {at::equal(tensor, before), "a sum and a broadcast of 4 MiB by one rank"};
  }

 private:
  at::TensorOptions on() const { return at::TensorOptions(compute_.device).dtype(at::kFloat); }

  // An epoch of batches from the GPU and from the loader, bit for bit, in both types.
  Found batches(bool training) const {
    int64_t compared = 0;
    for (const PixelType type : {PixelType::float32, PixelType::bfloat16}) {
      LoaderOptions settings;
      settings.prepare.transform = options_.transform;
      settings.prepare.type = type;
      settings.prepare.training = training;
      settings.prepare.augment = options_.augment;
      settings.prepare.seed = settings.sampler.seed = 7;
      settings.sampler.shuffle = training;
      settings.batchSize = options_.batchSize;
      settings.workers = options_.workers;
      std::unique_ptr<Batches> device;
      if (training) {
        const auto squares =
            DeviceSquares::load(options_.data, settings, compute_, int64_t{1} << 30, context_);
        if (!squares) return {false, "the set was not taken"};
        device = std::make_unique<SquareBatches>(squares, settings);
      } else {
        device = std::make_unique<Feed>(options_.data, settings, compute_);
      }
      TensorLoader loader(options_.data, settings);
      Batch here, there;
      while (loader.next(here)) {
        context_.throw_if_aborted();
        if (!device->next(there)) return {false, "there are too few batches"};
        if (!at::equal(there.images.cpu(), here.images) || !at::equal(there.labels.cpu(), here.labels))
          return {false, "other numbers, from image " + std::to_string(compared) + " on"};
        compared += here.read;
      }
      if (device->next(there)) return {false, "there are too many batches"};
    }
    return {compared > 0, std::to_string(compared) + " images with the loader's bits"};
  }

  const CheckDeviceOptions& options_;
  const Compute& compute_;
  JobContext& context_;
};

struct CheckRow {
  const char* name;
  Found (SelfCheck::*run)() const;
};
constexpr CheckRow kChecks[] = {
    {"images prepared by our kernel", &SelfCheck::batches_by_kernel},
    {"images copied by a stream of their own", &SelfCheck::batches_by_copies},
    {"steps replayed as a CUDA graph", &SelfCheck::recorded},
    {"sums by NCCL", &SelfCheck::summed},
};

}  // namespace

std::vector<DeviceCheck> check_device(const CheckDeviceOptions& options, JobContext& context) {
  const Compute compute(options.device, "float32");
  if (!compute.on_gpu())
    throw Error(ErrorCode::device, "device: expected cuda:N, found " + options.device + ".");
  use_threads(options.threads);
  const c10::NoGradGuard no_grad;
  const DeviceScope scope(compute);
  const SelfCheck check(options, compute, context);
  std::vector<DeviceCheck> all;
  for (const auto& row : kChecks) {
    context.throw_if_aborted();
    try {
      const auto [passed, text] = (check.*row.run)();
      all.push_back({row.name, passed, text});
    } catch (...) {
      const Error error = current_failure();
      if (error.code() == ErrorCode::aborted) throw;
      all.push_back({row.name, false, error.what()});
    }
  }
  return all;
}

}  // namespace mode_ensemble
