#include "cuda/feed.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "runtime/context.h"

namespace mode_ensemble {

Feed::Copying::Copying(at::Device device)
    : compute(c10::impl::VirtualGuardImpl(device.type()).getStream(device)),
      copy(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)) {}

Feed::Feed(std::shared_ptr<const DataSet> data, const LoaderOptions& options, const Compute& compute)
    : loader_(std::move(data), options, /*pinned=*/compute.on_gpu()), batch_size_(options.batchSize) {
  if (compute.on_gpu()) copying_.emplace(compute.device);
}

Feed::~Feed() {
  if (!copying_) return;
  try {
    copying_->copy.synchronize();  // before the loader's memory goes
  } catch (...) {                  // was thrown where the result was asked for
  }
}

bool Feed::next(Batch& batch) {
  // The loader takes its memory back with the next call.
  if (copying_ && copying_->last) copying_->last->copied.synchronize();
  const auto asked = std::chrono::steady_clock::now();
  Batch host;
  const bool more = loader_.next(host);
  waited_ += seconds_since(asked);
  if (!more) return false;
  if (copying_)
    to_device(host, batch);
  else
    batch = std::move(host);
  return true;
}

void Feed::to_device(const Batch& host, Batch& batch) {
  auto& [compute, copy, buffers, last, turn] = *copying_;
  // All that reads the last batch has been asked for by now.
  if (last) last->used.record(compute);
  Buffer& buffer = buffers[turn++ % buffers.size()];
  const int64_t rows = host.images.size(0);
  if (!buffer.images.defined()) {
    auto shape = host.images.sizes().vec();
    shape[0] = batch_size_;
    const auto on = [&](const at::Tensor& like) { return like.options().device(compute.device()); };
    buffer.images = at::empty(shape, on(host.images).memory_format(at::MemoryFormat::ChannelsLast));
    buffer.labels = at::empty({batch_size_}, on(host.labels));
    // Of the stream that computes, which may have used this memory for something else just before.
    buffer.used.record(compute);
  }
  batch.images = buffer.images.narrow(0, 0, rows);
  batch.labels = buffer.labels.narrow(0, 0, rows);
  batch.read = host.read;
  {
    const c10::StreamGuard guard(copy);
    buffer.used.block(copy);
    batch.images.copy_(host.images, /*non_blocking=*/true);
    batch.labels.copy_(host.labels, /*non_blocking=*/true);
    buffer.copied.record(copy);
  }
  buffer.copied.block(compute);
  last = &buffer;
}

}  // namespace mode_ensemble
