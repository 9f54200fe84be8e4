// Short texts of pickled values, for listings and messages.
#include <charconv>
#include <cmath>

#include "checkpoint/pickle_calls.h"
#include "checkpoint/pickle_tree.h"
#include "checkpoint/torch_objects.h"

namespace mode_ensemble {
namespace {

constexpr int kLevels = 4;

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string text(buffer, end);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

class Writer {
 public:
  Writer(const PickleTree& tree, size_t most) : tree_(tree), most_(most) {}

  void write(NodeId id, int level) {
    if (full()) return;
    const Node& node = tree_[id];
    switch (node.kind) {
      case Kind::none:
        out += "None";
        return;
      case Kind::boolean:
        out += node.integer ? "True" : "False";
        return;
      case Kind::integer:
        out += std::to_string(node.integer);
        return;
      case Kind::big_integer:
        out += "integer of " + std::to_string(node.count) + " bytes";
        return;
      case Kind::real:
        out += number_text(node.real);
        return;
      case Kind::string:
        out += "'" + printable(tree_.text(id).substr(0, most_)) + (node.cut ? "…'" : "'");
        return;
      case Kind::bytes:
        out += std::to_string(node.count) + " bytes";
        return;
      case Kind::list:
        return write_items(id, "[", "]", level);
      case Kind::tuple:
        return write_items(id, "(", node.count == 1 ? ",)" : ")", level);
      case Kind::set:
        return write_items(id, "{", "}", level);
      case Kind::dictionary:
        return write_entries(id, "{", ": ", "}", level);
      case Kind::global:
        out += printable(tree_.global(id).full_name());
        return;
      case Kind::object:
        return write_object(id, level);
      case Kind::storage:
        out += "storage";
        return;
      case Kind::tensor:
        out += "tensor";
        return;
    }
  }

  std::string out;
  bool full() const { return out.size() > most_; }

 private:
  void write_items(NodeId id, const char* open, const char* close, int level) {
    out += open;
    if (level >= kLevels && tree_[id].count > 0) {
      out += "…";
    } else {
      bool first = true;
      for (const NodeId item : tree_.items(id)) {
        if (full()) break;
        if (!first) out += ", ";
        first = false;
        write(item, level + 1);
      }
    }
    out += close;
  }

  void write_entries(NodeId id, const char* open, const char* between, const char* close, int level,
                     bool bare_keys = false) {
    out += open;
    if (level >= kLevels && tree_[id].count > 0) {
      out += "…";
    } else {
      bool first = true;
      for (auto at = tree_.items(id).begin(); !at.at_end() && !full(); ++at) {
        if (!first) out += ", ";
        first = false;
        if (bare_keys && tree_[*at].kind == Kind::string)
          out += printable(tree_.text(*at).substr(0, most_));
        else
          write(*at, level + 1);
        out += between;
        ++at;
        write(*at, level + 1);
      }
    }
    out += close;
  }

  void write_object(NodeId id, int level) {
    const Global& type = tree_.class_of(id);
    if (type.known && type.known->note[0] != '\0') {
      out += type.known->note;
      return;
    }
    out += printable(type.full_name());
    const NodeId arguments = tree_.part(id, ObjectPart::arguments), state = tree_.part(id, ObjectPart::state);
    const NodeId entries = tree_.part(id, ObjectPart::entries),
                 elements = tree_.part(id, ObjectPart::elements);
    if (entries != PickleTree::none)
      write_entries(entries, "({", ": ", "})", level);
    else if (elements != PickleTree::none)
      write_items(elements, "([", "])", level);
    else if (tree_[state].kind == Kind::dictionary)
      write_entries(state, "(", "=", ")", level, true);
    else if (tree_[arguments].kind == Kind::tuple)
      write_items(arguments, "(", ")", level);
    else
      out += "()";
  }

  const PickleTree& tree_;
  size_t most_;
};

}  // namespace

std::string short_text(const PickleTree& tree, NodeId id, size_t most) {
  Writer writer(tree, most);
  writer.write(id, 0);
  if (!writer.full()) return writer.out;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(writer.out[end]) & 0xc0) == 0x80) --end;
  return writer.out.substr(0, end) + "…";
}

}  // namespace mode_ensemble
