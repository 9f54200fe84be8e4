#include "models/script.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include "models/layers.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// The first line of a C++ exception's text; TorchScript's errors go on with a stack of source lines.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

class ScriptNetwork : public Network {
 public:
  bool begins_with_convolution() const override { return false; }
  ScriptNetwork(std::string path, torch::jit::Module module)
      : path_(std::move(path)), module_(std::move(module)) {
    module_.eval();
  }

  ForwardResult forward(const at::Tensor& images, bool training, const Want&) override {
    if (training) fail("it cannot be trained here.");
    c10::IValue value;
    try {
      value = module_.forward({images});
    } catch (const c10::Error& error) {
      fail("its forward fails on images " + shape(images) + ": " +
           first_line(error.what_without_backtrace()));
    } catch (const std::runtime_error& error) {
      fail("its forward fails on images " + shape(images) + ": " + last_line(error.what()));
    }
    ForwardResult result;
    if (value.isTensor()) {
      result.logits = value.toTensor();
    } else if (value.isTuple() && value.toTupleRef().elements().size() == 2) {
      const auto& parts = value.toTupleRef().elements();
      if (!parts[0].isTensor() || !parts[1].isTensor()) fail_on("a tuple with other things than tensors");
      result.logits = parts[0].toTensor();
      result.penultimate = parts[1].toTensor();
    } else {
      fail_on(value.isTuple() ? "a tuple of " + std::to_string(value.toTupleRef().elements().size())
                              : value.tagKind());
    }
    check(result, images.size(0));
    if (result.penultimate.defined() && result.penultimate.dim() == 4)
      result.penultimate = global_average(result.penultimate);
    return result;
  }

  void to_device(at::Device device) override { module_.to(device); }

  at::Tensor head(const at::Tensor&) const override { fail("its head cannot be applied by itself."); }
  at::Tensor resume(const at::Tensor&) const override { fail("it gives no stages."); }
  int rank1_stages() const override { return 0; }
  at::Tensor last_layer_weight() const override { fail("its last layer is not known."); }
  int penultimate_stage() const override { return 0; }

 private:
  static std::string shape(const at::Tensor& tensor) { return at::str(tensor.sizes()); }

  // What went wrong stands at the end of an interpreter's traceback.
  static std::string last_line(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text.substr(text.rfind('\n') + 1);
  }

  void check(const ForwardResult& result, int64_t rows) const {
    const auto& logits = result.logits;
    if (logits.dim() != 2 || logits.size(0) != rows) fail_on("a tensor " + shape(logits));
    const auto& feature = result.penultimate;
    if (feature.defined() && ((feature.dim() != 2 && feature.dim() != 4) || feature.size(0) != rows))
      fail_on("(logits " + shape(logits) + ", a tensor " + shape(feature) + ")");
  }

  [[noreturn]] void fail_on(const std::string& found) const {
    fail("expected its forward to return logits [N, classes], or (logits, feature [N, D]), found " + found +
         ".");
  }
  [[noreturn]] void fail(const std::string& message) const {
    throw Error(ErrorCode::checkpoint, path_ + ": TorchScript module: " + message);
  }

  std::string path_;
  torch::jit::Module module_;
};

}  // namespace

std::unique_ptr<Network> load_script(const std::string& path) {
  try {
    return std::make_unique<ScriptNetwork>(path, torch::jit::load(path, c10::Device(at::kCPU)));
  } catch (const c10::Error& error) {
    throw Error(ErrorCode::checkpoint, path + ": expected a TorchScript module (torch.jit.save): " +
                                           first_line(error.what_without_backtrace()));
  }
}

}  // namespace mode_ensemble
