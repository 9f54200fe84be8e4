#include "models/operations.h"

#include <ATen/record_function.h>

#include <array>
#include <cstring>
#include <functional>

#include "models/network.h"
#include "runtime/memory.h"

namespace mode_ensemble {
namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;

// One operation of LibTorch, and the multiply-adds for each number that it yields.
struct Counted {
  const char* name;
  int64_t (*each)(Inputs inputs);
};

int64_t size_of(Inputs inputs, size_t index, int64_t dimension) {
  return inputs[index].toTensor().size(dimension);
}

// The innermost operations alone: those around them (conv2d, linear, matmul) end in one of these.
constexpr std::array<Counted, 6> kCounted{{
    {"aten::convolution",
     [](Inputs in) {
       const auto& weight = in[1].toTensor();  // [out, in / groups, k, k]
       return weight.numel() / weight.size(0);
     }},
    {"aten::mm", [](Inputs in) { return size_of(in, 0, 1); }},
    {"aten::addmm", [](Inputs in) { return size_of(in, 1, 1); }},
    {"aten::bmm", [](Inputs in) { return size_of(in, 0, 2); }},
    {"aten::baddbmm", [](Inputs in) { return size_of(in, 1, 2); }},
    // Queries by keys and weights by values, [N, heads, T, D]: T each.
    {"aten::_scaled_dot_product_flash_attention_for_cpu", [](Inputs in) { return 2 * size_of(in, 1, 2); }},
}};

// Adds up what the operations on this thread take.
class OperationMeter {
 public:
  OperationMeter() {
    meter = this;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&started, &ended)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~OperationMeter() {
    at::removeCallback(handle_);
    meter = nullptr;
  }
  OperationMeter(const OperationMeter&) = delete;
  OperationMeter& operator=(const OperationMeter&) = delete;

  int64_t multiply_adds() const { return sum_; }

 private:
  // Inputs can be read when an operation begins, its output when it ends.
  struct Each : at::ObserverContext {
    explicit Each(int64_t number) : number(number) {}
    int64_t number;
  };

  static std::unique_ptr<at::ObserverContext> started(const at::RecordFunction& function) {
    for (const Counted& counted : kCounted)
      if (std::strcmp(function.name(), counted.name) == 0)
        return std::make_unique<Each>(counted.each(function.inputs()));
    return nullptr;
  }

  static void ended(const at::RecordFunction& function, at::ObserverContext* context) {
    if (context == nullptr) return;
    const auto outputs = function.outputs();
    if (!outputs.empty() && outputs[0].isTensor())
      meter->sum_ += static_cast<const Each*>(context)->number * outputs[0].toTensor().numel();
  }

  static thread_local OperationMeter* meter;

  at::CallbackHandle handle_;
  int64_t sum_ = 0;
};

thread_local OperationMeter* OperationMeter::meter = nullptr;

}  // namespace

int64_t count_operations(const CountOperationsOptions& options, JobContext& context) {
  const c10::NoGradGuard no_grad;
  const MemoryReuse reuse;
  const auto network = make_network(options.arch, {Init::empty});
  for (const auto& weight : network->weights()) weight.tensor.zero_();
  context.throw_if_aborted();
  network->to_channels_last();
  const auto image = at::zeros({1, 3, options.size, options.size}).contiguous(at::MemoryFormat::ChannelsLast);
  const OperationMeter meter;
  network->forward(image, /*training=*/false, {});
  return meter.multiply_adds();
}

}  // namespace mode_ensemble
