#include "checkpoint/torch_objects.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "checkpoint/pickle_calls.h"

namespace mode_ensemble {
namespace {

constexpr size_t kMaxTensors = 100'000, kMaxDimensions = 16, kMaxKey = 64;
// A tensor that repeats elements (a stride of 0) may be larger than what is stored, up to this.
constexpr int64_t kMaxExpanded = 64 << 20;

// Reads a number of `size` bytes as numpy's kind letter says. False for what is not a plain number.
bool read_numpy(char kind, const uint8_t* bytes, int size, bool big, int64_t* whole, double* real,
                bool* is_real) {
  uint8_t at[8] = {};
  for (int i = 0; i < size; ++i) at[i] = bytes[big ? size - 1 - i : i];
  DType type;
  if (kind == 'f' && (size == 2 || size == 4 || size == 8))
    type = size == 2 ? DType::f16 : size == 4 ? DType::f32 : DType::f64;
  else if (kind == 'i' && std::has_single_bit(static_cast<unsigned>(size)))
    type = size == 1 ? DType::i8 : size == 2 ? DType::i16 : size == 4 ? DType::i32 : DType::i64;
  else if (kind == 'u' && std::has_single_bit(static_cast<unsigned>(size)))
    type = size == 1 ? DType::u8 : size == 2 ? DType::u16 : size == 4 ? DType::u32 : DType::u64;
  else if (kind == 'b' && size == 1)
    type = DType::boolean;
  else
    return false;
  *is_real = kind == 'f';
  return *is_real ? convert_elements(type, at, DType::f64, real, 1)
                  : convert_elements(type, at, DType::i64, whole, 1);
}

}  // namespace

NodeId TorchObjects::call(NodeId function, NodeId arguments) {
  tree_.count_look_up();
  if (tree_[function].kind != Kind::global)
    fail("expected the name of a function to call, found another value.");
  const Global& global = tree_.global(function);
  if (!global.known)
    fail("calls " + printable(global.full_name()) +
         ": refused, nothing in a checkpoint is run; save the state_dict() alone.");
  std::vector<NodeId> list;
  if (tree_[arguments].kind != Kind::tuple) fail("expected a tuple of arguments, found another value.");
  if (!tree_.sequence(arguments, 64, list)) fail("expected at most 64 arguments, found more.");
  return call_known(*global.known, function, list, arguments);
}

NodeId TorchObjects::make_object(NodeId type, NodeId arguments) {
  if (tree_[type].kind != Kind::global) fail("expected the name of a class, found another value.");
  if (tree_[arguments].kind != Kind::tuple) fail("expected a tuple of arguments, found another value.");
  if (tree_.global(type).known) return call(type, arguments);
  return tree_.add_object(type, arguments);
}

NodeId TorchObjects::call_known(const KnownGlobal& known, NodeId function,
                                const std::vector<NodeId>& arguments, NodeId tuple) {
  const auto at_least = [&](size_t n) {
    if (arguments.size() < n)
      fail(tree_.global(function).full_name() + ": expected " + std::to_string(n) + " arguments, found " +
           std::to_string(arguments.size()) + ".");
  };
  switch (known.call) {
    case Call::inert:
    case Call::unusable:
      return tree_.add_object(function, tuple);
    case Call::bare:
    case Call::storage_type:
    case Call::dtype:
      fail("calls " + tree_.global(function).full_name() + ": refused, nothing in a checkpoint is run.");
    case Call::dictionary:
      return dictionary(arguments);
    case Call::default_dictionary:
      return dictionary({arguments.begin() + std::min<size_t>(1, arguments.size()), arguments.end()});
    case Call::list:
      return copy(Kind::list, arguments);
    case Call::tuple:
      return copy(Kind::tuple, arguments);
    case Call::set:
      return copy(Kind::set, arguments);
    case Call::encode:
      at_least(1);
      return encode(arguments);
    case Call::bytes: {
      if (!arguments.empty() && tree_[arguments[0]].kind == Kind::bytes) return arguments[0];
      if (!arguments.empty()) return encode(arguments);
      char* room = nullptr;
      return tree_.add_text(Kind::bytes, 0, 0, &room);
    }
    case Call::rebuild_tensor:
      at_least(4);
      return rebuild_tensor(arguments, nullptr, PickleTree::none);
    case Call::rebuild_tensor_v2:
      at_least(6);
      return rebuild_tensor(arguments, nullptr, arguments.size() > 6 ? arguments[6] : PickleTree::none);
    case Call::rebuild_tensor_v3: {
      at_least(7);
      const NodeId type = arguments[6];
      const KnownGlobal* named = tree_[type].kind == Kind::global ? tree_.global(type).known : nullptr;
      if (!named || named->call != Call::dtype)
        fail("expected a tensor's dtype, found " + short_text(tree_, type, 60) + ".");
      return rebuild_tensor(arguments, &named->dtype, arguments.size() > 7 ? arguments[7] : PickleTree::none);
    }
    case Call::rebuild_parameter:
      at_least(1);
      // Of a parameter only the tensor counts; a sparse one stays what it is.
      if (tree_[arguments[0]].kind != Kind::tensor && tree_[arguments[0]].kind != Kind::object)
        fail("expected the tensor of a parameter, found " + short_text(tree_, arguments[0], 60) + ".");
      return arguments[0];
    case Call::rebuild_from_type:
      at_least(3);
      return rebuild_from_type(arguments);
    case Call::size:
      if (arguments.empty()) return copy(Kind::tuple, {});
      return arguments[0];
    case Call::numpy_scalar:
      at_least(1);
      return numpy_scalar(function, arguments, tuple);
  }
  fail("calls " + tree_.global(function).full_name() + ": refused.");
}

NodeId TorchObjects::copy(Kind kind, const std::vector<NodeId>& arguments) {
  const NodeId made = tree_.add_container(kind);
  if (arguments.empty()) return made;
  const Kind from = tree_[arguments[0]].kind;
  if (from != Kind::list && from != Kind::tuple && from != Kind::set)
    fail("expected the elements of a list or set, found " + short_text(tree_, arguments[0], 60) + ".");
  for (const NodeId item : tree_.items(arguments[0])) tree_.append(made, item);
  return made;
}

// OrderedDict(), OrderedDict([[key, value], …]) (Python 2), Counter({…}).
NodeId TorchObjects::dictionary(const std::vector<NodeId>& arguments) {
  if (!arguments.empty() && tree_[arguments[0]].kind == Kind::dictionary) return arguments[0];
  const NodeId made = tree_.add_container(Kind::dictionary);
  if (arguments.empty() || arguments[0] == PickleTree::none) return made;
  const Kind from = tree_[arguments[0]].kind;
  if (from != Kind::list && from != Kind::tuple)
    fail("expected a dictionary's pairs, found " + short_text(tree_, arguments[0], 60) + ".");
  std::vector<NodeId> pair;
  for (const NodeId item : tree_.items(arguments[0])) {
    if (!tree_.sequence(item, 2, pair) || pair.size() != 2)
      fail("expected a pair of key and value, found " + short_text(tree_, item, 60) + ".");
    tree_.append(made, pair[0]);
    tree_.append(made, pair[1]);
  }
  return made;
}

// Latin-1: each character of the string is one byte. Text that is not, or was cut, stays text.
NodeId TorchObjects::encode(const std::vector<NodeId>& arguments) {
  const Node node = tree_[arguments[0]];
  if (node.kind == Kind::bytes) return arguments[0];
  if (node.kind != Kind::string)
    fail("expected text to encode, found " + short_text(tree_, arguments[0], 60) + ".");
  const std::string_view text = tree_.text(arguments[0]);
  const int64_t kept = tree_.to_keep(node.count);
  char* room = nullptr;
  if (node.cut || kept < static_cast<int64_t>(node.count)) {
    const NodeId made = tree_.add_text(Kind::bytes, node.count, PickleLimits::cut_to, &room);
    std::memcpy(room, text.data(), static_cast<size_t>(PickleLimits::cut_to));
    if (node.cut) tree_.set_place(made, {tree_.place_of(arguments[0]).offset, true});
    return made;
  }
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      bytes += text[i];
    } else if ((c == 0xc2 || c == 0xc3) && i + 1 < text.size()) {
      bytes += static_cast<char>(((c & 3) << 6) | (static_cast<unsigned char>(text[++i]) & 63));
    } else {
      return arguments[0];
    }
  }
  const auto length = static_cast<int64_t>(bytes.size());
  const NodeId made = tree_.add_text(Kind::bytes, length, length, &room);
  if (length > 0) std::memcpy(room, bytes.data(), bytes.size());
  return made;
}

NodeId TorchObjects::numpy_scalar(NodeId function, const std::vector<NodeId>& arguments, NodeId tuple) {
  const NodeId inert = tree_.add_object(function, tuple);
  if (arguments.size() != 2 || tree_[arguments[0]].kind != Kind::object) return inert;
  std::vector<NodeId> made, state;
  const NodeId type = arguments[0];
  if (!tree_.sequence(tree_.part(type, ObjectPart::arguments), 8, made) || made.empty()) return inert;
  const Node& code = tree_[made[0]];
  if ((code.kind != Kind::string && code.kind != Kind::bytes) || code.cut || code.count != 2) return inert;
  const Node& data = tree_[arguments[1]];
  const int size = tree_.text(made[0])[1] - '0';
  if (size < 1 || size > 8) return inert;
  if ((data.kind != Kind::bytes && data.kind != Kind::string) || data.cut ||
      data.count != static_cast<uint32_t>(size))
    return inert;
  bool big = false;
  if (tree_.sequence(tree_.part(type, ObjectPart::state), 16, state) && state.size() > 1)
    big = (tree_[state[1]].kind == Kind::string || tree_[state[1]].kind == Kind::bytes) &&
          tree_.text(state[1]) == ">";
  int64_t whole = 0;
  double real = 0;
  bool is_real = false;
  if (!read_numpy(tree_.text(made[0])[0], reinterpret_cast<const uint8_t*>(data.text), size, big, &whole,
                  &real, &is_real))
    return inert;
  return is_real ? tree_.add_real(real) : tree_.add_integer(whole);
}

int64_t TorchObjects::count(NodeId id, const char* what) const {
  const Node& node = tree_[id];
  if (node.kind != Kind::integer || node.integer < 0)
    fail(std::string("expected ") + what + ", a whole number from 0, found " + short_text(tree_, id, 60) +
         ".");
  return node.integer;
}

std::vector<int64_t> TorchObjects::sizes(NodeId id, const char* what) {
  std::vector<NodeId> list;
  if (!tree_.sequence(id, kMaxDimensions, list))
    fail(std::string("expected ") + what + " of at most 16 dimensions, found " + short_text(tree_, id, 60) +
         ".");
  std::vector<int64_t> out;
  for (const NodeId item : list) out.push_back(count(item, what));
  return out;
}

NodeId TorchObjects::rebuild_tensor(const std::vector<NodeId>& arguments, const DType* dtype,
                                    NodeId metadata) {
  if (tree_[arguments[0]].kind != Kind::storage)
    fail("expected the storage of a tensor, found " + short_text(tree_, arguments[0], 60) + ".");
  if (tensors.size() >= kMaxTensors) fail("expected at most 100000 tensors, found more.");
  const StorageRef& ref = storage_refs[tree_[arguments[0]].count];
  PickledTensor tensor;
  tensor.storage = ref.storage;
  tensor.dtype = dtype ? *dtype : ref.dtype;
  const int64_t offset = count(arguments[1], "a tensor's offset");
  tensor.shape = sizes(arguments[2], "a tensor's shape");
  tensor.strides = sizes(arguments[3], "a tensor's strides");
  if (tensor.shape.size() != tensor.strides.size())
    fail("expected a stride for each dimension, found " + std::to_string(tensor.shape.size()) +
         " dimensions and " + std::to_string(tensor.strides.size()) + " strides.");
  const int64_t item = size_of(tensor.dtype);
  const bool empty = std::any_of(tensor.shape.begin(), tensor.shape.end(), [](int64_t n) { return n == 0; });
  if (!empty) {
    // All in bytes: [first, last] are those of the first and the last element's first byte.
    int64_t first = 0, last = 0, bytes = item;
    bool too_large = __builtin_mul_overflow(offset, item, &first);
    last = first;
    for (size_t i = 0; i < tensor.shape.size() && !too_large; ++i) {
      int64_t reach = 0;
      too_large = __builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &reach) ||
                  __builtin_mul_overflow(reach, item, &reach) || __builtin_add_overflow(last, reach, &last) ||
                  __builtin_mul_overflow(bytes, tensor.shape[i], &bytes);
    }
    if (too_large || last > ref.bytes - item)
      fail("expected a tensor within its storage of " + std::to_string(ref.bytes) +
           " bytes, found one that reaches beyond it.");
    if (bytes > ref.bytes && bytes > kMaxExpanded)
      fail("expected a tensor that repeats its elements to have at most 64 MiB, found " +
           std::to_string(bytes) + " bytes.");
    tensor.first_byte = ref.first_byte + first;
  }
  if (tree_[metadata].kind == Kind::dictionary)
    for (const char* bit : {"conj", "neg"})
      if (tree_.find(metadata, bit) == PickleTree::yes) tensor.fault = "a conjugate or negated view";
  tensors.push_back(std::move(tensor));
  Node node;
  node.kind = Kind::tensor;
  node.count = static_cast<uint32_t>(tensors.size() - 1);
  return tree_.add(node);
}

// (function, class, arguments, state): a tensor with attributes. Its class must be PyTorch's own.
NodeId TorchObjects::rebuild_from_type(const std::vector<NodeId>& arguments) {
  const auto known = [&](NodeId id) {
    return tree_[id].kind == Kind::global ? tree_.global(id).known : nullptr;
  };
  const KnownGlobal* function = known(arguments[0]);
  const KnownGlobal* type = known(arguments[1]);
  const bool rebuilds =
      function && (function->call == Call::unusable ||
                   (function->call >= Call::rebuild_tensor && function->call < Call::rebuild_from_type));
  if (!rebuilds || !type || !(type->name == "Tensor" || type->call == Call::rebuild_parameter))
    fail("expected a tensor of PyTorch's own class, found " + short_text(tree_, arguments[1], 60) + ".");
  return call(arguments[0], arguments[2]);
}

std::string TorchObjects::key_of(NodeId id) const {
  const Node& node = tree_[id];
  if (node.kind == Kind::integer) return std::to_string(node.integer);
  if ((node.kind != Kind::string && node.kind != Kind::bytes) || node.cut || node.count == 0 ||
      node.count > kMaxKey)
    fail("expected the key of a storage, found " + short_text(tree_, id, 60) + ".");
  return std::string(tree_.text(id));
}

// ('storage', type, key, device, elements[, (view key, first element, elements)]), or in old files
// ('module', class, source file, source), which stands for the class.
NodeId TorchObjects::load_persistent(NodeId id) {
  tree_.count_look_up();
  std::vector<NodeId> list;
  const bool tuple = tree_[id].kind == Kind::tuple && tree_.sequence(id, 8, list) && list.size() >= 2;
  const auto is_text = [&](NodeId node) {
    return tree_[node].kind == Kind::string || tree_[node].kind == Kind::bytes;
  };
  const std::string_view kind = tuple && is_text(list[0]) ? tree_.text(list[0]) : std::string_view();
  if (kind == "module") return list[1];
  if (kind != "storage" || list.size() < 5 || list.size() > 6)
    fail("expected a reference to a storage, found " + short_text(tree_, id, 60) + ".");
  const KnownGlobal* type = tree_[list[1]].kind == Kind::global ? tree_.global(list[1]).known : nullptr;
  if (!type || type->call != Call::storage_type)
    fail("expected a storage's type, found " + short_text(tree_, list[1], 60) + ".");
  const std::string key = key_of(list[2]);
  const int64_t item = size_of(type->dtype);
  int64_t bytes = 0;
  if (__builtin_mul_overflow(count(list[4], "a storage's size"), item, &bytes))
    fail("expected a storage's size, found one that is too large.");
  const auto [known, is_new] = by_key_.emplace(key, static_cast<uint32_t>(storages.size()));
  if (is_new) {
    if (storages.size() >= kMaxTensors) fail("expected at most 100000 storages, found more.");
    storages.push_back({key, type->dtype, bytes, tree_.offset});
  }
  const PickledStorage& storage = storages[known->second];
  if (storage.bytes != bytes)
    fail("storage \"" + printable(key) + "\": expected " + std::to_string(storage.bytes) +
         " bytes as before, found " + std::to_string(bytes) + ".");
  StorageRef ref{known->second, type->dtype, type->untyped, 0, bytes};
  if (list.size() == 6 && list[5] != PickleTree::none) {
    std::vector<NodeId> view;
    if (!tree_.sequence(list[5], 3, view) || view.size() != 3)
      fail("expected a part of a storage, found " + short_text(tree_, list[5], 60) + ".");
    int64_t first = 0, size = 0;
    if (__builtin_mul_overflow(count(view[1], "the start of a storage's part"), item, &first) ||
        __builtin_mul_overflow(count(view[2], "the size of a storage's part"), item, &size) ||
        first > bytes || size > bytes - first)
      fail("expected a part within its storage of " + std::to_string(bytes) +
           " bytes, found one that reaches beyond it.");
    if (views_.size() >= kMaxTensors) fail("expected at most 100000 parts of storages, found more.");
    // As in PyTorch, a view's key that came before stands for what it stood for then.
    const auto place = views_.emplace(key_of(view[0]), ViewPlace{ref.storage, first, size}).first->second;
    ref.storage = place.storage, ref.first_byte = place.first_byte, ref.bytes = place.bytes;
  }
  storage_refs.push_back(ref);
  Node node;
  node.kind = Kind::storage;
  node.count = static_cast<uint32_t>(storage_refs.size() - 1);
  return tree_.add(node);
}

}  // namespace mode_ensemble
