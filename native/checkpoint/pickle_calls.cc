#include "checkpoint/pickle_calls.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace mode_ensemble {
namespace {

constexpr KnownGlobal kKnown[] = {
    {"collections", "OrderedDict", Call::dictionary},
    {"collections", "Counter", Call::dictionary},
    {"collections", "defaultdict", Call::default_dictionary},
    {"collections", "deque", Call::inert},
    {"builtins", "dict", Call::dictionary},
    {"builtins", "list", Call::list},
    {"builtins", "tuple", Call::tuple},
    {"builtins", "set", Call::set},
    {"builtins", "frozenset", Call::set},
    {"builtins", "bytes", Call::bytes},
    {"builtins", "bytearray", Call::bytes},
    {"builtins", "complex", Call::inert},
    {"builtins", "slice", Call::inert},
    {"builtins", "range", Call::inert},
    {"builtins", "xrange", Call::inert},
    {"builtins", "int", Call::bare},
    {"builtins", "long", Call::bare},
    {"builtins", "float", Call::bare},
    {"builtins", "bool", Call::bare},
    {"builtins", "str", Call::bare},
    {"builtins", "unicode", Call::bare},
    {"builtins", "object", Call::bare},
    {"_codecs", "encode", Call::encode},

    {"argparse", "Namespace", Call::inert},
    {"types", "SimpleNamespace", Call::inert},
    {"datetime", "date", Call::inert},
    {"datetime", "datetime", Call::inert},
    {"datetime", "time", Call::inert},
    {"datetime", "timedelta", Call::inert},
    {"datetime", "timezone", Call::inert},
    {"decimal", "Decimal", Call::inert},
    {"fractions", "Fraction", Call::inert},
    {"uuid", "UUID", Call::inert},
    {"pathlib", "Path", Call::inert},
    {"pathlib", "PosixPath", Call::inert},
    {"pathlib", "WindowsPath", Call::inert},
    {"pathlib", "PurePath", Call::inert},
    {"pathlib", "PurePosixPath", Call::inert},
    {"pathlib", "PureWindowsPath", Call::inert},

    {"numpy", "dtype", Call::inert},
    {"numpy", "ndarray", Call::inert},
    {"numpy.core.multiarray", "scalar", Call::numpy_scalar},
    {"numpy.core.multiarray", "_reconstruct", Call::inert, "a numpy array"},
    {"numpy.core.numeric", "_frombuffer", Call::inert, "a numpy array"},

    {"torch", "Size", Call::size},
    {"torch", "device", Call::inert},
    {"torch", "Tensor", Call::bare},
    {"torch", "per_tensor_affine", Call::bare},
    {"torch", "per_tensor_symmetric", Call::bare},
    {"torch", "per_channel_affine", Call::bare},
    {"torch", "per_channel_symmetric", Call::bare},
    {"torch", "per_channel_affine_float_qparams", Call::bare},
    {"torch.serialization", "_get_layout", Call::inert},
    {"torch._utils", "_rebuild_tensor", Call::rebuild_tensor},
    {"torch._utils", "_rebuild_tensor_v2", Call::rebuild_tensor_v2},
    {"torch._utils", "_rebuild_tensor_v3", Call::rebuild_tensor_v3},
    {"torch._utils", "_rebuild_parameter", Call::rebuild_parameter},
    {"torch._utils", "_rebuild_parameter_with_state", Call::rebuild_parameter},
    {"torch.nn.parameter", "Parameter", Call::rebuild_parameter},
    {"torch.nn.parameter", "Buffer", Call::rebuild_parameter},
    {"torch.autograd.variable", "Variable", Call::rebuild_parameter},
    {"torch._tensor", "_rebuild_from_type_v2", Call::rebuild_from_type},
    {"torch._utils", "_rebuild_sparse_tensor", Call::unusable, "a sparse tensor"},
    {"torch._utils", "_rebuild_sparse_csr_tensor", Call::unusable, "a sparse tensor"},
    {"torch._utils", "_rebuild_qtensor", Call::unusable, "a quantised tensor"},
    {"torch._utils", "_rebuild_nested_tensor", Call::unusable, "a nested tensor"},
    {"torch._utils", "_rebuild_meta_tensor_no_storage", Call::unusable, "a tensor without data"},
    {"torch._utils", "_rebuild_wrapper_subclass", Call::unusable, "a tensor of a class of its own"},
    {"torch._utils", "_rebuild_device_tensor_from_numpy", Call::unusable, "a tensor of another device"},
    {"torch._utils", "_rebuild_device_tensor_from_cpu_tensor", Call::unusable, "a tensor of another device"},
    {"torch._utils", "_rebuild_xla_tensor", Call::unusable, "a tensor of another device"},
};

constexpr std::string_view kRefused[] = {
    "os",        "posix",    "nt",      "sys",    "builtins", "subprocess", "_posixsubprocess", "commands",
    "importlib", "runpy",    "pty",     "shutil", "socket",   "ctypes",     "multiprocessing",  "pickle",
    "_pickle",   "cPickle",  "marshal", "pydoc",  "pip",      "operator",   "_operator",        "webbrowser",
    "torch.hub", "torch.jit"};

// One name for what Python 2 and 3, and older and newer libraries, call differently.
std::string_view modern_module(std::string_view module) {
  if (module == "__builtin__") return "builtins";
  if (module == "pathlib._local") return "pathlib";
  if (module == "numpy._core.multiarray") return "numpy.core.multiarray";
  if (module == "numpy._core.numeric") return "numpy.core.numeric";
  if (module == "torch.nn") return "torch.nn.parameter";
  return module;
}

using Table = std::map<std::pair<std::string_view, std::string_view>, KnownGlobal>;

Table make_table() {
  Table table;
  for (const KnownGlobal& known : kKnown) table.emplace(std::pair(known.module, known.name), known);
  static constexpr std::string_view storages[] = {
      "FloatStorage",   "DoubleStorage",      "HalfStorage",         "BFloat16Storage",     "LongStorage",
      "IntStorage",     "ShortStorage",       "CharStorage",         "ByteStorage",         "BoolStorage",
      "QInt8Storage",   "QUInt8Storage",      "QInt32Storage",       "QUInt4x2Storage",     "QUInt2x4Storage",
      "UntypedStorage", "ComplexHalfStorage", "ComplexFloatStorage", "ComplexDoubleStorage"};
  for (const std::string_view name : storages)
    for (const std::string_view module : {"torch", "torch.cuda", "torch.storage"})
      table.emplace(std::pair(module, name),
                    KnownGlobal{module, name, Call::storage_type, "", *dtype_from_storage(name),
                                name == "UntypedStorage"});
  for (int i = 0; i <= static_cast<int>(DType::f8_e8m0); ++i) {
    const auto type = static_cast<DType>(i);
    const std::string_view name = dtype_name(type);
    table.emplace(std::pair(std::string_view("torch"), name),
                  KnownGlobal{"torch", name, Call::dtype, "", type});
  }
  for (const std::string_view name : {"quint8", "qint8", "qint32", "quint4x2", "quint2x4"})
    table.emplace(std::pair(std::string_view("torch"), name), KnownGlobal{"torch", name, Call::bare});
  return table;
}

}  // namespace

const KnownGlobal* find_known_global(std::string_view module, std::string_view name) {
  static const Table table = make_table();
  const auto found = table.find({modern_module(module), name});
  return found == table.end() ? nullptr : &found->second;
}

bool refused_module(std::string_view module) {
  module = modern_module(module);
  const std::string_view package = module.substr(0, module.find('.'));
  return std::any_of(std::begin(kRefused), std::end(kRefused),
                     [&](std::string_view name) { return name == module || name == package; });
}

}  // namespace mode_ensemble
