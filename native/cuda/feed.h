// The loader's batches on the device that computes.
#pragma once
#include <array>
#include <optional>

#include "data/batches.h"
#include "runtime/compute.h"

namespace mode_ensemble {

// On a CPU, the loader's own. For a GPU they are copied on a stream of their own, from the loader's
// page-locked memory into one of two buffers, while the GPU computes on the other; this thread waits for
// copies alone, never for what is computed. Belongs to the thread that made it, inside of a DeviceScope.
class Feed final : public Batches {
 public:
  Feed(std::shared_ptr<const DataSet> data, const LoaderOptions& options, const Compute& compute);
  ~Feed() override;

  bool next(Batch& batch) override;
  int64_t batches() const override { return loader_.loader().batches(); }
  double waited() const override { return waited_; }
  const Loader& loader() const { return loader_.loader(); }

 private:
  struct Buffer {
    at::Tensor images, labels;  // of a whole batch
    c10::Event copied{at::kCUDA}, used{at::kCUDA};
  };
  struct Copying {
    Copying(at::Device device);
    c10::Stream compute, copy;
    std::array<Buffer, 2> buffers;
    Buffer* last = nullptr;  // what next() gave
    size_t turn = 0;
  };

  void to_device(const Batch& host, Batch& batch);

  TensorLoader loader_;
  int64_t batch_size_;
  double waited_ = 0;
  std::optional<Copying> copying_;  // for a GPU
};

}  // namespace mode_ensemble
