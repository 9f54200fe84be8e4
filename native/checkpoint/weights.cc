#include "checkpoint/weights.h"

#include <algorithm>
#include <set>

#include "checkpoint/tensor_file.h"
#include "models/script.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
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

bool is_batch_counter(const std::string& name) {
  constexpr std::string_view end = "num_batches_tracked";
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

struct Match {
  std::vector<std::optional<size_t>> tensors;  // one for each of the network's weights
  std::vector<std::string> missing, unexpected, shapes;
  bool fits() const { return missing.empty() && unexpected.empty() && shapes.empty(); }
};

Match match(const Network& network, const Checkpoint& checkpoint) {
  std::map<std::string, size_t> stored;
  for (const auto& weight : checkpoint.weights())
    stored.emplace(network.current_name(weight.name), weight.tensor);
  Match result;
  std::set<std::string> known;
  for (const auto& weight : network.weights()) {
    known.insert(weight.name);
    const auto found = stored.find(weight.name);
    if (found == stored.end()) {
      result.tensors.emplace_back();
      if (!is_batch_counter(weight.name)) result.missing.push_back(weight.name);
      continue;
    }
    result.tensors.emplace_back(found->second);
    const auto& info = checkpoint.tensors()[found->second];
    const auto wanted = weight.tensor.sizes().vec();
    const bool whole = weight.tensor.scalar_type() == at::kLong;
    if (info.shape == wanted && convertible(info.dtype, whole ? DType::i64 : DType::f32)) continue;
    result.shapes.push_back(weight.name + ": expected " + (whole ? "int64 " : "float32 ") +
                            shape_text(wanted) + ", found " + dtype_name(info.dtype) + " " +
                            shape_text(info.shape));
  }
  for (const auto& weight : checkpoint.weights())
    if (!known.count(network.current_name(weight.name))) result.unexpected.push_back(weight.name);
  return result;
}

// The checkpoint's shape of the tensor of that name in the network; empty where it has none.
std::vector<int64_t> stored_shape(const Network& network, const Checkpoint& checkpoint,
                                  const std::string& name) {
  for (const auto& weight : checkpoint.weights())
    if (network.current_name(weight.name) == name) return checkpoint.tensors()[weight.tensor].shape;
  return {};
}

// The checkpoint's number of classes and width, were it of this architecture. The width is the number of
// filters of the first convolution or, in a network without any, the length of its feature.
std::optional<ArchOptions> sizes_of(const ArchitectureInfo& info, const Checkpoint& checkpoint) {
  ArchOptions arch{info.name, info.width, 1, 0};
  const auto network = make_network(arch, {Init::shapes});
  const auto last = network->last_layer_weight();
  const auto& weights = network->weights();
  const auto named = [&](auto is) {
    const auto found = std::find_if(weights.begin(), weights.end(), is);
    return found == weights.end() ? std::vector<int64_t>{} : stored_shape(*network, checkpoint, found->name);
  };
  const auto is_conv = [](const NamedTensor& weight) { return weight.tensor.dim() == 4; };
  const bool convolves = std::any_of(weights.begin(), weights.end(), is_conv);
  const auto classes = named([&](const NamedTensor& weight) { return weight.tensor.is_same(last); });
  const auto first = convolves ? named(is_conv) : classes;
  if (classes.size() != 2 || first.empty() || classes[0] < 1 || classes[0] > 1000000) return std::nullopt;
  arch.classes = classes[0];
  const int64_t width = convolves ? first[0] : first[1];
  if (width >= 1 && width <= 4096 && width % info.widthStep == 0) arch.width = width;
  return arch;
}

}  // namespace

void save_weights(const Network& network, const std::string& path,
                  const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& weight : network.weights()) tensors.emplace_back(weight.name, weight.tensor);
  write_tensors(path, tensors, metadata);
}

int64_t classes_of(const ArchOptions& arch, const Checkpoint& checkpoint) {
  const auto info = find_architecture(arch.name);
  const auto sizes = info ? sizes_of(*info, checkpoint) : std::nullopt;
  return sizes ? sizes->classes : 0;
}

std::optional<ArchOptions> identify(const Checkpoint& checkpoint) {
  for (const auto& info : architectures()) {
    const auto arch = sizes_of(info, checkpoint);
    if (arch && match(*make_network(*arch, {Init::shapes}), checkpoint).fits()) return arch;
  }
  return std::nullopt;
}

std::vector<std::optional<size_t>> match_weights(const Network& network, const Checkpoint& checkpoint) {
  auto result = match(network, checkpoint);
  if (result.fits()) return std::move(result.tensors);
  std::string problems;
  add_list(problems, "of another shape", result.shapes);
  add_list(problems, "missing", result.missing);
  add_list(problems, "unexpected", result.unexpected);
  const auto other = identify(checkpoint);
  const auto hint = !other ? ""
                           : "; it fits " + other->name + " of width " + std::to_string(other->width) +
                                 " with " + std::to_string(other->classes) + " classes";
  throw Error(ErrorCode::checkpoint,
              checkpoint.name() + ": does not fit the network: " + problems + hint + ".");
}

void load_weights(Network& network, const std::string& path) {
  const auto checkpoint = Checkpoint::open(path);
  const auto tensors = match_weights(network, *checkpoint);
  const c10::NoGradGuard guard;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& weight = network.weights()[i].tensor;
    if (!tensors[i]) {
      weight.zero_();
      continue;
    }
    const auto type = weight.scalar_type() == at::kLong ? DType::i64 : DType::f32;
    if (weight.is_contiguous() && weight.is_cpu()) {
      checkpoint->read(*tensors[i], type, weight.mutable_data_ptr());
      continue;
    }
    auto plain = at::empty(weight.sizes(), weight.scalar_type());
    checkpoint->read(*tensors[i], type, plain.mutable_data_ptr());
    weight.copy_(plain);
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
