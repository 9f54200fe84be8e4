#include "models/graph_memory.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "cuda/devices.h"
#include "runtime/compute.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kGraphBytes = int64_t{1} << 29;

// Keeps the memory of all tensors that operations on this thread give, each once, and adds it up. Autograd
// keeps inputs and outputs of operations and nothing else, so this is the most that a graph can hold.
class OutputMeter {
 public:
  // Views of the weights are no memory of their own.
  explicit OutputMeter(const Network& network) {
    for (const auto& weight : network.weights()) keep(weight.tensor);
    weights_ = kept_.size();
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

  // Only at the end are all sizes known: some kernels resize what they made empty.
  int64_t bytes() const {
    size_t sum = 0;
    for (size_t i = weights_; i < kept_.size(); ++i) sum += kept_[i].nbytes();
    return static_cast<int64_t>(sum);
  }
  // Of what others still hold.
  int64_t bytes_held() const {
    size_t sum = 0;
    for (size_t i = weights_; i < kept_.size(); ++i)
      if (kept_[i].use_count() > 1) sum += kept_[i].nbytes();
    return static_cast<int64_t>(sum);
  }

 private:
  static std::unique_ptr<at::ObserverContext> started(const at::RecordFunction&) { return nullptr; }

  static void ended(const at::RecordFunction& function, at::ObserverContext*) {
    for (const auto& output : function.outputs())
      if (output.isTensor()) meter->keep(output.toTensor());
  }

  void keep(const at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.has_storage()) return;
    if (seen_.insert(tensor.storage().unsafeGetStorageImpl()).second) kept_.push_back(tensor.storage());
  }

  static thread_local OutputMeter* meter;

  at::CallbackHandle handle_;
  std::unordered_set<const c10::StorageImpl*> seen_;
  std::vector<c10::Storage> kept_;  // alive, so that no address stands for two
  size_t weights_ = 0;              // how many of these are the network's own
};

thread_local OutputMeter* OutputMeter::meter = nullptr;

}  // namespace

int64_t most_images_with_graph(Network& network, int64_t side, const Compute& compute) {
  // With a graph: what a node keeps need not be made where there is none.
  const c10::AutoGradMode graph(true);
  const auto image = at::zeros({1, 3, side, side}, compute.device)
                         .contiguous(at::MemoryFormat::ChannelsLast)
                         .requires_grad_(true);
  const int64_t most = compute.on_gpu() ? free_device_memory(compute.device) / 4 : kGraphBytes;
  const Autocast autocast(compute);
  // What a frozen network makes at its first pass stays with it, and is no part of a graph.
  network.forward(image, /*training=*/false, {.stages = true});
  const OutputMeter meter(network);
  network.forward(image, /*training=*/false, {.stages = true});
  return std::max<int64_t>(1, most / std::max<int64_t>(1, meter.bytes()));
}

int64_t bytes_for_backward(const ArchOptions& arch, int64_t side, at::ScalarType type) {
  // A network of its own: the pass changes running statistics.
  const auto network = make_network(arch, {Init::empty});
  for (const auto& weight : network->weights()) weight.tensor.zero_();
  network->to_channels_last();
  network->require_gradients(true);
  // Two: some norms refuse to see one number a channel.
  constexpr int64_t kImages = 2;
  const auto images = at::zeros({kImages, 3, side, side}).contiguous(at::MemoryFormat::ChannelsLast);
  const Autocast autocast(Compute(type == at::kFloat ? "float32" : "bfloat16"));
  const OutputMeter meter(*network);
  const auto result = network->forward(images, /*training=*/true, {});
  return meter.bytes_held() / kImages;
}

}  // namespace mode_ensemble
