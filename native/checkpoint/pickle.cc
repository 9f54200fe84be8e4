// Opcodes: CPython, Lib/pickletools.py.
#include "checkpoint/pickle.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include "checkpoint/pickle_calls.h"

namespace mode_ensemble {
namespace {

constexpr size_t kMaxLine = 1024;

std::string hex(uint8_t byte) {
  constexpr char digits[] = "0123456789abcdef";
  return {'0', 'x', digits[byte >> 4], digits[byte & 15]};
}

class Unpickler {
 public:
  Unpickler(PickleInput& input, PickleTree& tree, TorchObjects& objects, const PickleRules& rules)
      : input_(input),
        tree_(tree),
        objects_(objects),
        rules_(rules),
        most_memo_(std::min(input.left(), rules.most_bytes)) {}

  NodeId run() {
    const int64_t begin = input_.offset();
    while (true) {
      tree_.offset = input_.offset();
      if (tree_.offset - begin > rules_.most_bytes)
        fail("expected a pickle of at most " + std::to_string(rules_.most_bytes >> 20) +
             " MiB, found a longer one.");
      const uint8_t opcode = input_.byte();
      if (opcode == '.') return pop();
      step(opcode);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& sentence) const {
    tree_.source().fail_at(tree_.offset, sentence);
  }

  void push(NodeId id) {
    if (stack_.size() >= PickleLimits::stack) fail("expected a stack of at most 1000000 values, found more.");
    stack_.push_back(id);
  }
  // Below the last mark nothing may be taken.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  NodeId top() const {
    if (stack_.size() <= floor()) fail("expected a value on the stack, found none.");
    return stack_.back();
  }
  NodeId pop() {
    const NodeId id = top();
    stack_.pop_back();
    return id;
  }
  // Where the values above the last mark begin; the mark is taken away.
  size_t take_mark() {
    if (marks_.empty()) fail("expected a mark on the stack, found none.");
    const size_t at = marks_.back();
    marks_.pop_back();
    return at;
  }

  void step(uint8_t opcode) {
    switch (opcode) {
      case 0x80:  // PROTO
        if (const uint8_t protocol = input_.byte(); protocol > 5)
          fail("expected a pickle of protocol 0 to 5, found " + std::to_string(protocol) + ".");
        return;
      case 0x95:  // FRAME
        if (input_.number(8) > static_cast<uint64_t>(input_.left()))
          fail("expected a whole frame, found the end.");
        return;
      case '(':
        if (marks_.size() >= PickleLimits::stack) fail("expected at most 1000000 marks, found more.");
        marks_.push_back(static_cast<uint32_t>(stack_.size()));
        return;
      case '0':  // POP takes a mark where nothing is above it, as in Python
        if (!marks_.empty() && stack_.size() == marks_.back())
          marks_.pop_back();
        else
          pop();
        return;
      case '1':
        stack_.resize(take_mark());
        return;
      case '2':
        return push(top());
      case 'N':
        return push(PickleTree::none);
      case 0x88:
        return push(PickleTree::yes);
      case 0x89:
        return push(PickleTree::no);
      case 'J':
        return push(tree_.add_integer(static_cast<int32_t>(input_.number(4))));
      case 'K':
        return push(tree_.add_integer(static_cast<int64_t>(input_.number(1))));
      case 'M':
        return push(tree_.add_integer(static_cast<int64_t>(input_.number(2))));
      case 'I':
      case 'L':
        return push(text_integer(opcode == 'I'));
      case 0x8a:  // LONG1
        return push(long_integer(static_cast<int64_t>(input_.number(1))));
      case 0x8b:  // LONG4
        return push(long_integer(static_cast<int32_t>(input_.number(4))));
      case 'G': {
        uint8_t bytes[8];
        input_.read(bytes, 8);
        std::reverse(bytes, bytes + 8);
        return push(tree_.add_real(std::bit_cast<double>(little_endian(bytes, 8))));
      }
      case 'F': {
        const std::string line = input_.line(kMaxLine);
        double value = 0;
        const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
        if (error != std::errc() || end != line.data() + line.size()) fail("expected a number.");
        return push(tree_.add_real(value));
      }
      case 'U':
        return push_text(Kind::string, input_.number(1));
      case 'T':
        return push_text(Kind::string, input_.number(4));
      case 0x8c:
        return push_text(Kind::string, input_.number(1));
      case 'X':
        return push_text(Kind::string, input_.number(4));
      case 0x8d:
        return push_text(Kind::string, input_.number(8));
      case 'C':
        return push_text(Kind::bytes, input_.number(1));
      case 'B':
        return push_text(Kind::bytes, input_.number(4));
      case 0x8e:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        return push_text(Kind::bytes, input_.number(8));
      case ']':
        return push(tree_.add_container(Kind::list));
      case '}':
        return push(tree_.add_container(Kind::dictionary));
      case ')':
        return push(PickleTree::empty_tuple);
      case 0x8f:
        return push(tree_.add_container(Kind::set));
      case 't':
        return make(Kind::tuple, take_mark());
      case 'l':
        return make(Kind::list, take_mark());
      case 0x91:  // FROZENSET
        return make(Kind::set, take_mark());
      case 'd': {
        const size_t at = take_mark();
        if ((stack_.size() - at) % 2 != 0) fail("expected a value for each key, found a key without.");
        return make(Kind::dictionary, at);
      }
      case 0x85:
      case 0x86:
      case 0x87: {
        const size_t n = opcode - 0x84u;
        if (stack_.size() < floor() + n) fail("expected a tuple's values on the stack, found fewer.");
        return make(Kind::tuple, stack_.size() - n);
      }
      case 'a':
        top();
        return extend(stack_.size() - 1, Kind::list, ObjectPart::elements);
      case 'e':
        return extend(take_mark(), Kind::list, ObjectPart::elements);
      case 0x90:  // ADDITEMS
        return extend(take_mark(), Kind::set, ObjectPart::elements);
      case 's':
        if (stack_.size() < floor() + 2) fail("expected a key and a value on the stack, found fewer.");
        return extend(stack_.size() - 2, Kind::dictionary, ObjectPart::entries);
      case 'u':
        return extend(take_mark(), Kind::dictionary, ObjectPart::entries);
      case 'c': {
        const std::string module = input_.line(kMaxLine), name = input_.line(kMaxLine);
        return push_global(module, name);
      }
      case 0x93: {  // STACK_GLOBAL
        const NodeId name = pop(), module = pop();
        if (tree_[name].kind != Kind::string || tree_[module].kind != Kind::string || tree_[name].cut ||
            tree_[module].cut)
          fail("expected the name of a class or function, found another value.");
        return push_global(tree_.text(module), tree_.text(name));
      }
      case 'R': {
        const NodeId arguments = pop(), function = pop();
        return push(objects_.call(function, arguments));
      }
      case 0x81: {  // NEWOBJ
        const NodeId arguments = pop(), type = pop();
        return push(objects_.make_object(type, arguments));
      }
      case 0x92: {  // NEWOBJ_EX; keyword arguments are passed over
        pop();
        const NodeId arguments = pop(), type = pop();
        return push(objects_.make_object(type, arguments));
      }
      case 'b':
        return build();
      case 'Q':
        return push(objects_.load_persistent(pop()));
      case 'q':
        return put(input_.number(1));
      case 'r':
        return put(input_.number(4));
      case 'p':
        return put(static_cast<uint64_t>(line_number()));
      case 0x94:  // MEMOIZE
        return put(memoized_);
      case 'h':
        return get(input_.number(1));
      case 'j':
        return get(input_.number(4));
      case 'g':
        return get(static_cast<uint64_t>(line_number()));
      case 'i':
      case 'o':
      case 0x82:
      case 0x83:
      case 0x84:
      case 'P':
      case 'S':
      case 'V':
      case 0x97:
      case 0x98:
        fail("expected a pickle as torch.save or numpy writes it, found opcode " + hex(opcode) +
             ", which they never use.");
      default:
        fail("expected a pickle opcode, found byte " + hex(opcode) + ".");
    }
  }

  void push_text(Kind kind, uint64_t length) {
    if (length > static_cast<uint64_t>(input_.left()) || length > static_cast<uint64_t>(rules_.most_bytes))
      fail("expected a text of " + std::to_string(length) + " bytes, found " + std::to_string(input_.left()) +
           " bytes to the end.");
    const auto size = static_cast<int64_t>(length), kept = tree_.to_keep(size);
    char* room = nullptr;
    const NodeId id = tree_.add_text(kind, size, kept, &room);
    if (kept < size) tree_.set_place(id, {input_.offset(), false});
    input_.read(room, kept);
    input_.skip(size - kept);
    push(id);
  }

  void push_global(std::string_view module, std::string_view name) {
    if (module.size() + name.size() > static_cast<size_t>(PickleLimits::global_name))
      fail("expected the name of a class or function of at most 512 bytes, found a longer one.");
    const NodeId id = tree_.add_global(module, name, tree_.offset);
    if (!rules_.may_name(tree_.global(id)))
      fail("names " + printable(tree_.global(id).full_name()) + ": refused, " + rules_.refusal + ".");
    push(id);
  }

  NodeId long_integer(int64_t length) {
    if (length < 0 || length > input_.left() || length > 4096)
      fail("expected an integer of at most 4096 bytes, found one of " + std::to_string(length) + ".");
    uint8_t bytes[8] = {};
    if (length <= 8) {
      input_.read(bytes, length);
      uint64_t value = little_endian(bytes, 8);
      if (length > 0 && length < 8 && (bytes[length - 1] & 0x80)) value |= ~uint64_t{0} << (8 * length);
      return tree_.add_integer(static_cast<int64_t>(value));
    }
    char* room = nullptr;
    // All of it is kept: the magic number of old files is one.
    const NodeId id = tree_.add_text(Kind::big_integer, length, length, &room);
    input_.read(room, length);
    return id;
  }

  NodeId text_integer(bool may_be_boolean) {
    std::string line = input_.line(kMaxLine);
    if (may_be_boolean && line == "00") return PickleTree::no;
    if (may_be_boolean && line == "01") return PickleTree::yes;
    if (!line.empty() && line.back() == 'L') line.pop_back();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc() || end != line.data() + line.size())
      fail("expected an integer of at most 8 bytes.");
    return tree_.add_integer(value);
  }

  int64_t line_number() {
    const NodeId id = text_integer(false);
    if (tree_[id].integer < 0) fail("expected a number from 0.");
    return tree_[id].integer;
  }

  void make(Kind kind, size_t at) {
    const NodeId made = tree_.add_container(kind);
    for (size_t i = at; i < stack_.size(); ++i) tree_.append(made, stack_[i]);
    stack_.resize(at);
    push(made);
  }

  // The values from `at` on go into the container below them, or into that part of an object.
  void extend(size_t at, Kind kind, ObjectPart part) {
    if (at <= floor()) fail("expected a container below its values, found none.");
    NodeId target = stack_[at - 1];
    const NodeId owner = target;
    if (tree_[owner].kind == Kind::object) {
      target = tree_.part(owner, part);
      if (target == PickleTree::none) {
        target = tree_.add_container(kind);
        tree_.set_part(owner, part, target);
      }
    }
    if (tree_[target].kind != kind) fail("expected a container to add to, found another value.");
    if (kind == Kind::dictionary && (stack_.size() - at) % 2 != 0)
      fail("expected a value for each key, found a key without.");
    for (size_t i = at; i < stack_.size(); ++i) tree_.append(target, stack_[i]);
    stack_.resize(at);
  }

  // The state of an object is kept; that of a dictionary (`_metadata`) or tensor (its gradient) means nothing
  // here.
  void build() {
    const NodeId state = pop(), target = top();
    switch (tree_[target].kind) {
      case Kind::object:
        return tree_.set_part(target, ObjectPart::state, state);
      case Kind::dictionary:
      case Kind::list:
      case Kind::set:
      case Kind::tensor:
        return;
      default:
        fail("expected an object to give a state to, found another value.");
    }
  }

  // Writers number their entries one after the other and spend a byte or more on each, so no number exceeds
  // the pickle's size: what is reserved is bounded by what was sent.
  void put(uint64_t index) {
    const NodeId id = top();
    if (index >= static_cast<uint64_t>(most_memo_) || index > 4 * PickleLimits::nodes)
      fail("expected the number of a memo entry, found " + std::to_string(index) + ", which is too large.");
    if (index >= memo_.size()) memo_.resize(static_cast<size_t>(index) + 1, kUnset);
    if (memo_[static_cast<size_t>(index)] == kUnset) ++memoized_;
    memo_[static_cast<size_t>(index)] = id;
  }

  void get(uint64_t index) {
    if (index >= memo_.size() || memo_[static_cast<size_t>(index)] == kUnset)
      fail("expected a memo entry that was made before, found number " + std::to_string(index) + ".");
    push(memo_[static_cast<size_t>(index)]);
  }

  static constexpr NodeId kUnset = 0xffffffff;
  PickleInput& input_;
  PickleTree& tree_;
  TorchObjects& objects_;
  const PickleRules& rules_;
  int64_t most_memo_;
  std::vector<NodeId> stack_, memo_;
  std::vector<uint32_t> marks_;
  uint64_t memoized_ = 0;  // entries made: what MEMOIZE numbers by
};

}  // namespace

const PickleRules kCheckpointPickle = {
    64 << 20, [](const Global& global) { return global.known || !refused_module(global.module); },
    "no checkpoint has a use for it"};

NodeId read_pickle(PickleInput& input, PickleTree& tree, TorchObjects& objects, const PickleRules& rules) {
  return Unpickler(input, tree, objects, rules).run();
}

}  // namespace mode_ensemble
