#include "extract/graph_memory.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "runtime/device.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kGraphBytes = int64_t{1} << 30;

// Adds up the memory of all tensors that operations on this thread give, each once. Autograd keeps inputs and
// outputs of operations and nothing else, so this is the most that a graph can hold.
class OutputMeter {
 public:
  OutputMeter() {
    meter = this;
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(&started, &ended).needsOutputs(true).scopes({at::RecordScope::FUNCTION}));
  }
  ~OutputMeter() {
    at::removeCallback(handle_);
    meter = nullptr;
  }
  OutputMeter(const OutputMeter&) = delete;
  OutputMeter& operator=(const OutputMeter&) = delete;

  int64_t bytes() const { return bytes_; }

 private:
  static std::unique_ptr<at::ObserverContext> started(const at::RecordFunction&) { return nullptr; }

  static void ended(const at::RecordFunction& function, at::ObserverContext*) {
    for (const auto& output : function.outputs()) {
      if (!output.isTensor() || !output.toTensor().defined() || !output.toTensor().has_storage()) continue;
      const auto& storage = output.toTensor().storage();
      if (!meter->seen_.insert(storage.unsafeGetStorageImpl()).second) continue;
      meter->kept_.push_back(storage);
      meter->bytes_ += static_cast<int64_t>(storage.nbytes());
    }
  }

  static thread_local OutputMeter* meter;

  at::CallbackHandle handle_;
  std::unordered_set<const c10::StorageImpl*> seen_;
  std::vector<c10::Storage> kept_;  // so that no address stands for two tensors
  int64_t bytes_ = 0;
};

thread_local OutputMeter* OutputMeter::meter = nullptr;

}  // namespace

int64_t most_images_with_graph(Network& network, int64_t side, const std::string& precision) {
  const c10::NoGradGuard no_grad;
  const auto image = at::zeros({1, 3, side, side}).contiguous(at::MemoryFormat::ChannelsLast);
  const Autocast autocast(precision);
  const OutputMeter meter;
  network.forward(image, /*training=*/false, {.stages = true});
  return std::max<int64_t>(1, kGraphBytes / std::max<int64_t>(1, meter.bytes()));
}

}  // namespace mode_ensemble
