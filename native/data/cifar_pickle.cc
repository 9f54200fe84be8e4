// The Python layout of CIFAR: pickled dictionaries with a numpy array `data`, uint8 [N, 3072], and lists of
// labels. Read as inert data (checkpoint/pickle.h); the array's bytes are taken from the file piece by piece.
#include <algorithm>
#include <cstring>

#include "checkpoint/pickle.h"
#include "checkpoint/pickle_calls.h"
#include "data/cifar.h"
#include "data/files.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kMaxPickle = int64_t{1} << 30;  // CIFAR-100's has 155,000,000 bytes
constexpr int64_t kPiece = 64 << 10;

// Arrays, and how Python 3 writes bytes in protocol 2. All that is named here is data or rebuilds it.
bool is_array_name(const Global& global) {
  if (!global.known) return false;
  const std::string_view module = global.known->module;
  return module == "numpy" || module == "numpy.core.multiarray" || module == "numpy.core.numeric" ||
         module == "_codecs" || global.known->call == Call::bytes;
}

constexpr PickleRules kArrayPickle = {kMaxPickle, is_array_name,
                                      "a data set's arrays and lists have no use for it"};

// A file's pickle and the dictionary that it must be.
struct Pickle {
  Pickle(const ByteSource& from, const std::string& what) : source(from), tree(from), objects(tree) {
    PickleInput input(source, 0, source.size());
    if (source.size() > 0) {
      uint8_t first = 0;
      source.read_at(0, &first, 1);
      if (first != 0x80)
        source.fail_at(0, "expected " + what + ", a pickle of protocol 2 to 5, found another file.");
    }
    const NodeId root = read_pickle(input, tree, objects, kArrayPickle);
    tree.check_globals(root);
    dictionary = tree.dictionary_of(root);
    if (tree[dictionary].kind != Kind::dictionary)
      source.fail("expected " + what + ", a pickled dictionary, found " + short_text(tree, root, 60) + ".");
  }

  bool is_text(NodeId id) const { return tree[id].kind == Kind::string || tree[id].kind == Kind::bytes; }

  // The value of a key, which Python 2 wrote as a string and Python 3 may hold as bytes.
  NodeId find(const std::string& key, const std::string& what) const {
    NodeId value = PickleTree::none;
    std::string there;
    for (auto at = tree.items(dictionary).begin(); !at.at_end(); ++at) {
      const NodeId name = *at;
      ++at;
      if (!is_text(name) || tree[name].cut) continue;
      if (tree.text(name) == key) value = *at;
      if (there.size() < 200) there += (there.empty() ? "'" : ", '") + printable(tree.text(name)) + "'";
    }
    if (value == PickleTree::none)
      source.fail("expected " + what + " with the entry '" + key + "', found " +
                  (there.empty() ? "none" : "the entries " + there) + ".");
    return value;
  }

  const ByteSource& source;
  PickleTree tree;
  TorchObjects objects;
  NodeId dictionary = PickleTree::none;
};

// The bytes of a text node in order: of a long one, out of the file.
class TextBytes {
 public:
  TextBytes(const Pickle& pickle, NodeId id)
      : source_(pickle.source), held_(pickle.tree.text(id)), left_(pickle.tree[id].count) {
    if (pickle.tree[id].cut) place_ = pickle.tree.place_of(id);
    in_file_ = pickle.tree[id].cut;
    if (in_file_ && place_.offset < 0) source_.fail("'data': expected bytes, found a text that is too long.");
  }

  // What there are, or may be: two bytes of UTF-8 can stand for one.
  bool may_hold(int64_t n) const { return place_.utf8 ? n <= left_ && n >= left_ / 2 : n == left_; }

  void read(uint8_t* to, int64_t n) {
    if (!in_file_) {
      std::memcpy(to, held_.data() + at_, static_cast<size_t>(n));
      at_ += static_cast<size_t>(n);
    } else if (!place_.utf8) {
      source_.read_at(place_.offset, to, n);
      place_.offset += n;
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = character();
    }
  }

  bool at_end() const { return !place_.utf8 || (left_ == 0 && at_ == window_.size()); }

 private:
  uint8_t character() {
    const uint8_t first = next();
    if (first < 0x80) return first;
    const uint8_t second = next();
    if ((first != 0xc2 && first != 0xc3) || (second & 0xc0) != 0x80)
      source_.fail_at(place_.offset - static_cast<int64_t>(window_.size() - at_),
                      "'data': expected bytes written as Latin-1 text, found another character.");
    return static_cast<uint8_t>((first & 3) << 6 | (second & 63));
  }

  uint8_t next() {
    if (at_ == window_.size()) {
      if (left_ == 0)
        source_.fail_at(place_.offset, "'data': expected more bytes for its shape, found their end.");
      window_.resize(static_cast<size_t>(std::min(kPiece, left_)));
      const auto size = static_cast<int64_t>(window_.size());
      source_.read_at(place_.offset, window_.data(), size);
      place_.offset += size, left_ -= size;
      at_ = 0;
    }
    return window_[at_++];
  }

  const ByteSource& source_;
  std::string_view held_;
  int64_t left_;  // bytes of the text, of UTF-8 those that are not in the window
  bool in_file_ = false;
  TextPlace place_;
  size_t at_ = 0;
  std::vector<uint8_t> window_;
};

// A numpy array as it was pickled.
struct Array {
  std::vector<NodeId> shape;
  NodeId bytes = PickleTree::none;
  bool columns_first = false;  // Fortran's order
};

// Of `_reconstruct(…)` with the state (version, shape, dtype, order, bytes), or `_frombuffer(bytes, dtype,
// shape, order)` (numpy/_core/src/multiarray/methods.c and numpy/_core/numeric.py). False for all else.
bool read_array(const Pickle& pickle, NodeId id, Array& array, std::string& type) {
  const PickleTree& tree = pickle.tree;
  if (tree[id].kind != Kind::object || !tree.class_of(id).known) return false;
  const std::string_view function = tree.class_of(id).known->name;
  const bool buffer = function == "_frombuffer";
  if (!buffer && function != "_reconstruct") return false;
  std::vector<NodeId> parts, made;
  const NodeId fields = tree.part(id, buffer ? ObjectPart::arguments : ObjectPart::state);
  if (!tree.sequence(fields, 5, parts) || parts.size() != (buffer ? 4 : 5)) return false;
  const NodeId dtype = parts[buffer ? 1 : 2], order = parts[3];
  array.bytes = parts[buffer ? 0 : 4];
  array.columns_first = buffer ? pickle.is_text(order) && tree.text(order) == "F" : order == PickleTree::yes;
  if (tree[dtype].kind != Kind::object || tree.class_of(dtype).full_name() != "numpy.dtype") return false;
  if (!tree.sequence(tree.part(dtype, ObjectPart::arguments), 8, made) || made.empty() ||
      !pickle.is_text(made[0]) || !pickle.is_text(array.bytes))
    return false;
  type = std::string(tree.text(made[0]));
  return tree.sequence(parts[buffer ? 2 : 1], 32, array.shape);
}

std::string shape_text(const Pickle& pickle, const Array& array) {
  std::string text = "[";
  for (const NodeId side : array.shape)
    text += (text.size() > 1 ? ", " : "") + short_text(pickle.tree, side, 20);
  return text + "]";
}

// Fills in what comes behind each record's label; the number of images.
size_t read_pixels(const Pickle& pickle, NodeId id, std::vector<uint8_t>& records) {
  Array array;
  std::string type;
  if (!read_array(pickle, id, array, type))
    pickle.source.fail("'data': expected a numpy array, found " + short_text(pickle.tree, id, 60) + ".");
  if (type.starts_with('|')) type.erase(0, 1);
  const auto side = [&](size_t i) {
    const Node& node = pickle.tree[array.shape[i]];
    return node.kind == Kind::integer ? node.integer : -1;
  };
  constexpr auto pixels = static_cast<int64_t>(kCifarPixels);
  if (type != "u1" || array.shape.size() != 2 || side(0) < 1 || side(1) != pixels)
    pickle.source.fail("'data': expected uint8 ('u1') [N, 3072], found '" + printable(type).substr(0, 40) +
                       "' " + shape_text(pickle, array) + ".");
  const int64_t count = side(0);
  TextBytes bytes(pickle, array.bytes);
  // No record is made room for that the file does not hold.
  if (count > kMaxPickle / pixels || !bytes.may_hold(count * pixels))
    pickle.source.fail("'data': expected " + grouped(static_cast<uint64_t>(count)) +
                       " images of 3,072 bytes as its shape says, found " +
                       grouped(pickle.tree[array.bytes].count) + " bytes.");
  const auto rows = static_cast<size_t>(count);
  records.resize(rows * kCifarRecord);
  if (array.columns_first) {
    std::vector<uint8_t> column(rows);
    for (size_t i = 0; i < kCifarPixels; ++i) {
      bytes.read(column.data(), count);
      for (size_t row = 0; row < rows; ++row) records[row * kCifarRecord + 1 + i] = column[row];
    }
  } else {
    for (size_t row = 0; row < rows; ++row) bytes.read(&records[row * kCifarRecord + 1], pixels);
  }
  if (!bytes.at_end())
    pickle.source.fail("'data': expected " + grouped(rows) + " images of 3,072 bytes, found more bytes.");
  return rows;
}

}  // namespace

void read_cifar_pickle(const CifarSet& set, size_t which, const ByteSource& source,
                       std::vector<uint8_t>& records) {
  const std::string what = std::string("a ") + set.title + " batch";
  const CifarLabels& labels = set.labels[which];
  const std::string entry = labels.entry;
  const Pickle pickle(source, what);
  const NodeId data = pickle.find("data", what), list = pickle.find(entry, what);
  const Node& node = pickle.tree[list];
  if (node.kind != Kind::list && node.kind != Kind::tuple)
    source.fail("'" + entry + "': expected a list of whole numbers, found " +
                short_text(pickle.tree, list, 60) + ".");
  const size_t count = read_pixels(pickle, data, records);
  if (node.count != count)
    source.fail("'" + entry + "': expected " + grouped(count) + " labels, one an image, found " +
                grouped(node.count) + ".");
  size_t row = 0;
  for (const NodeId id : pickle.tree.items(list)) {
    const Node& label = pickle.tree[id];
    const auto classes = static_cast<int64_t>(labels.names.size());
    if (label.kind != Kind::integer || label.integer < 0 || label.integer >= classes)
      source.fail("'" + entry + "': expected labels 0 to " + std::to_string(classes - 1) + ", found " +
                  short_text(pickle.tree, id, 60) + " for image " + std::to_string(row) + ".");
    records[row++ * kCifarRecord] = static_cast<uint8_t>(label.integer);
  }
}

std::vector<std::string> read_cifar_meta(const CifarSet& set, size_t which, const ByteSource& source) {
  const std::string what = std::string("the names of ") + set.title + "'s classes";
  const CifarLabels& labels = set.labels[which];
  const Pickle pickle(source, what);
  std::vector<NodeId> list;
  std::vector<std::string> names;
  const NodeId found = pickle.find(labels.names_entry, what);
  const bool fits =
      pickle.tree.sequence(found, labels.names.size(), list) && list.size() == labels.names.size();
  for (const NodeId id : list)
    if (pickle.is_text(id) && !pickle.tree[id].cut) names.emplace_back(pickle.tree.text(id));
  if (!fits || names.size() != labels.names.size())
    source.fail("'" + std::string(labels.names_entry) + "': expected a list of " +
                std::to_string(labels.names.size()) + " names, found " + short_text(pickle.tree, found, 60) +
                ".");
  return names;
}

}  // namespace mode_ensemble
