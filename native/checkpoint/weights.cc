#include "checkpoint/weights.h"

#include <cstring>

#include "checkpoint/safetensors.h"
#include "checkpoint/tensor_file.h"
#include "models/script.h"
#include "runtime/error.h"
#include "runtime/files.h"

namespace mode_ensemble {
namespace {

const char* dtype_of(const at::Tensor& tensor) { return tensor.scalar_type() == at::kLong ? "I64" : "F32"; }

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// "3 missing (a, b, c)" with the first ten names.
void add_list(std::string& text, const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return;
  if (!text.empty()) text += "; ";
  text += std::to_string(names.size()) + " " + what + " (";
  for (size_t i = 0; i < names.size() && i < 10; ++i) text += (i ? ", " : "") + names[i];
  text += names.size() > 10 ? ", …)" : ")";
}

}  // namespace

void save_weights(const Network& network, const std::string& path,
                  const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& weight : network.weights()) tensors.emplace_back(weight.name, weight.tensor);
  write_tensors(path, tensors, metadata);
}

void load_weights(Network& network, const std::string& path) {
  const MappedFile file(path);
  const auto header = parse_safetensors(path, file.data(), file.size());
  std::vector<std::string> missing, unexpected, shapes;
  for (const auto& weight : network.weights()) {
    const auto* entry = header.find(weight.name);
    if (!entry)
      missing.push_back(weight.name);
    else if (entry->shape != weight.tensor.sizes().vec() || entry->dtype != dtype_of(weight.tensor))
      shapes.push_back(weight.name + ": expected " + dtype_of(weight.tensor) + " " +
                       shape_text(weight.tensor.sizes()) + ", found " + entry->dtype + " " +
                       shape_text(entry->shape));
  }
  for (const auto& entry : header.tensors) {
    bool known = false;
    for (const auto& weight : network.weights()) known = known || weight.name == entry.name;
    if (!known) unexpected.push_back(entry.name);
  }
  std::string problems;
  add_list(problems, "of another shape", shapes);
  add_list(problems, "missing", missing);
  add_list(problems, "unexpected", unexpected);
  if (!problems.empty())
    throw Error(ErrorCode::checkpoint, path + ": does not fit the network: " + problems + ".");

  c10::NoGradGuard guard;
  for (const auto& weight : network.weights()) {
    const auto* entry = header.find(weight.name);
    auto tensor =
        at::empty(weight.tensor.sizes(), weight.tensor.options().memory_format(at::MemoryFormat::Contiguous));
    std::memcpy(tensor.mutable_data_ptr(), file.data() + header.data_offset + entry->begin,
                static_cast<size_t>(entry->end - entry->begin));
    weight.tensor.copy_(tensor);
  }
}

std::unique_ptr<Network> open_network(const ArchOptions& arch, const std::string& checkpoint) {
  // A TorchScript module brings its own code, so there is nothing to build.
  if (arch.name == kScript) return load_script(checkpoint);
  auto network = make_network(arch, {Init::empty});
  load_weights(*network, checkpoint);
  network->to_channels_last();
  return network;
}

}  // namespace mode_ensemble
