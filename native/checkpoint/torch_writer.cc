#include "checkpoint/torch_writer.h"

#include <bit>
#include <set>

#include "checkpoint/pickle_tree.h"
#include "checkpoint/zip_writer.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

static_assert(std::endian::native == std::endian::little, "the record byteorder says little");

// Opcodes of protocol 2, torch.save's: CPython, Lib/pickletools.py.
class Pickler {
 public:
  Pickler() { out = "\x80\x02"; }
  void op(char opcode) { out += opcode; }
  void text(const std::string& value) {
    op('X');
    number(value.size(), 4);
    out += value;
  }
  void integer(int64_t value) {
    if (value < 256) {
      op('K');
      number(static_cast<uint64_t>(value), 1);
    } else if (value < 65536) {
      op('M');
      number(static_cast<uint64_t>(value), 2);
    } else if (value <= 0x7fffffff) {
      op('J');
      number(static_cast<uint64_t>(value), 4);
    } else {
      op('\x8a');
      number(8, 1);
      number(static_cast<uint64_t>(value), 8);
    }
  }
  void integers(const std::vector<int64_t>& values) {
    op('(');
    for (const int64_t value : values) integer(value);
    op('t');
  }
  // A class or function; from the second time on by its number.
  void global(const std::string& module, const std::string& name) {
    const std::string both = "c" + module + "\n" + name + "\n";
    const auto [found, is_new] = memo_.emplace(both, memo_.size());
    if (is_new) out += both;
    op(is_new ? 'r' : 'j');
    number(found->second, 4);
  }
  void ordered_dictionary() {
    global("collections", "OrderedDict");
    out += ")R";
  }
  std::string out;

 private:
  void number(uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 255);
  }
  std::map<std::string, uint64_t> memo_;
};

void add_tensor(Pickler& pickle, const TensorInfo& info, size_t key, int64_t bytes) {
  const bool untyped = storage_name(info.dtype)[0] == '\0';
  pickle.global("torch._utils", untyped ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
  pickle.op('(');
  pickle.op('(');
  pickle.text("storage");
  if (untyped)
    pickle.global("torch.storage", "UntypedStorage");
  else
    pickle.global("torch", storage_name(info.dtype));
  pickle.text(std::to_string(key));
  pickle.text("cpu");
  pickle.integer(untyped ? bytes : bytes / size_of(info.dtype));
  pickle.out += "tQ";
  pickle.integer(0);
  pickle.integers(info.shape);
  pickle.integers(row_major_strides(info.shape));
  pickle.op('\x89');
  pickle.ordered_dictionary();
  if (untyped) pickle.global("torch", dtype_name(info.dtype));
  pickle.out += "tR";
}

std::string make_pickle(const std::vector<TensorToWrite>& tensors, const std::vector<int64_t>& bytes,
                        const std::map<std::string, std::string>& metadata) {
  Pickler pickle;
  pickle.out += "}(";
  pickle.text("state_dict");
  pickle.ordered_dictionary();
  pickle.op('(');
  for (size_t i = 0; i < tensors.size(); ++i) {
    pickle.text(tensors[i].info.name);
    add_tensor(pickle, tensors[i].info, i, bytes[i]);
  }
  pickle.op('u');
  if (!metadata.empty()) {
    pickle.text("mode_ensemble");
    pickle.out += "}(";
    for (const auto& [key, value] : metadata) pickle.text(key), pickle.text(value);
    pickle.op('u');
  }
  pickle.out += "u.";
  return std::move(pickle.out);
}

}  // namespace

void write_torch_zip(const std::string& path, const std::vector<TensorToWrite>& tensors,
                     const std::map<std::string, std::string>& metadata, uint64_t zip64_from) {
  const auto refuse = [&](const std::string& sentence) {
    throw Error(ErrorCode::checkpoint, path + ": cannot be written: " + sentence);
  };
  // Nothing that our own reader would refuse or cut.
  std::vector<int64_t> bytes;
  std::set<std::string> names;
  for (const auto& [info, data] : tensors) {
    if (!names.insert(info.name).second) refuse("\"" + printable(info.name) + "\" is there twice.");
    if (info.dtype > DType::boolean)
      refuse("\"" + printable(info.name) + "\" is of type " + dtype_name(info.dtype) + ".");
    bytes.push_back(info.elements() * size_of(info.dtype));
  }
  for (const auto& [key, value] : metadata)
    if (static_cast<int64_t>(key.size()) > PickleLimits::string ||
        static_cast<int64_t>(value.size()) > PickleLimits::string)
      refuse("the metadata \"" + printable(key.substr(0, 60)) + "\" has more than 64 KiB.");

  // PyTorch takes the folder's name from the file; a fixed one makes the bytes depend on the content alone.
  // The record .format_version is left out: it promises the data descriptors of PyTorch's own writer.
  ZipWriter zip(path, "archive", zip64_from);
  const std::string pickle = make_pickle(tensors, bytes, metadata);
  zip.add("data.pkl", pickle.data(), static_cast<int64_t>(pickle.size()));
  zip.add(".storage_alignment", "64", 2);
  zip.add("byteorder", "little", 6);
  for (size_t i = 0; i < tensors.size(); ++i)
    zip.add("data/" + std::to_string(i), bytes[i] > 0 ? tensors[i].data() : nullptr, bytes[i]);
  zip.add("version", "3\n", 2);
  zip.commit();
}

}  // namespace mode_ensemble
