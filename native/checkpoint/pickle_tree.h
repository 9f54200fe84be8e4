// What a pickle holds, as inert data. Nodes, links and strings lie in pools and refer to each other by
// number, so that a structure of any depth is freed without recursion, and a hostile one stays within fixed
// limits.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/byte_source.h"
#include "runtime/printable.h"

namespace mode_ensemble {

using NodeId = uint32_t;

enum class Kind : uint8_t {
  none,
  boolean,
  integer,
  big_integer,  // its bytes, little-endian two's complement
  real,
  string,
  bytes,
  list,
  tuple,
  set,
  dictionary,  // key, value, key, value, …; a key may come twice
  global,      // a class or function by name
  object,      // of a class: arguments, state, dictionary entries, list elements (see ObjectPart)
  storage,     // index: TorchObjects::storage_refs
  tensor       // index: TorchObjects::tensors
};

enum class ObjectPart : uint32_t { arguments, state, entries, elements };

struct Node {
  Kind kind = Kind::none;
  bool cut = false;    // string, bytes: only the first bytes were kept
  uint32_t count = 0;  // string, bytes, big_integer: length; containers: links; object: its global's node;
                       // global, storage, tensor: index
  union {
    int64_t integer = 0;  // boolean, too
    double real;
    const char* text;
    struct {
      uint32_t first, last;
    } chain;
  };
};
static_assert(sizeof(Node) == 16);

struct KnownGlobal;

struct Global {
  std::string_view module, name;
  const KnownGlobal* known = nullptr;
  int64_t offset = 0;  // where the pickle names it first
  bool used_as_class = false;

  std::string full_name() const { return std::string(module) + "." + std::string(name); }
};

// Where a text that was cut lies in the source, whole.
struct TextPlace {
  int64_t offset = -1;
  bool utf8 = false;  // bytes that were written as text, a character a byte
};

// Fixed limits: a thousand times what checkpoints need, and together some ten megabytes.
struct PickleLimits {
  static constexpr size_t nodes = 1'000'000, links = 2'000'000, stack = 1'000'000, globals = 10'000;
  // A text of more than `string` bytes is cut; one of more than `late_string` once `early_strings` bytes are
  // kept.
  static constexpr int64_t string = 64 << 10, early_strings = 8 << 20, late_string = 256,
                           all_strings = 16 << 20;
  static constexpr int64_t cut_to = 64;
  static constexpr int64_t global_name = 512;
  // Names looked up, calls and references: each costs more than a byte of the pickle should.
  static constexpr size_t look_ups = 1'000'000;
};

class PickleTree {
 public:
  explicit PickleTree(const ByteSource& source);
  PickleTree(const PickleTree&) = delete;
  PickleTree& operator=(const PickleTree&) = delete;

  static constexpr NodeId none = 0, no = 1, yes = 2, empty_tuple = 3;

  // Counts one of PickleLimits::look_ups.
  void count_look_up();

  Node& operator[](NodeId id) { return nodes_[id]; }
  const Node& operator[](NodeId id) const { return nodes_[id]; }
  size_t size() const { return nodes_.size(); }
  const ByteSource& source() const { return source_; }
  // Where the pickle is being read, for messages about limits.
  int64_t offset = 0;

  NodeId add(Node node);
  NodeId add_container(Kind kind);
  NodeId add_integer(int64_t value);  // small ones share a node
  NodeId add_real(double value);
  // Room for `kept` bytes of a text of `length`, to be filled by the caller before the next call. `kept` is
  // either all or `cut_to`.
  NodeId add_text(Kind kind, int64_t length, int64_t kept, char** room);
  // How many of a text's bytes are to be kept.
  int64_t to_keep(int64_t length) const;
  // Of a text that was cut, in the order in which they were added.
  void set_place(NodeId text, TextPlace place) { places_.emplace_back(text, place); }
  TextPlace place_of(NodeId text) const;  // offset -1 where none was set
  NodeId add_global(std::string_view module, std::string_view name, int64_t offset);
  NodeId add_object(NodeId global, NodeId arguments);

  void append(NodeId container, NodeId value);
  NodeId part(NodeId object, ObjectPart part) const;
  void set_part(NodeId object, ObjectPart part, NodeId value);

  std::string_view text(NodeId id) const;  // of a string or bytes; what was kept
  Global& global(NodeId id) { return globals_[nodes_[id].count]; }
  const Global& global(NodeId id) const { return globals_[nodes_[id].count]; }
  const Global& class_of(NodeId object) const { return global(nodes_[object].count); }

  // The elements of a container (or the four parts of an object) as they were when it was called.
  class Items {
   public:
    class Iterator {
     public:
      Iterator(const PickleTree* tree, uint32_t link, uint32_t left)
          : tree_(tree), link_(link), left_(left) {}
      NodeId operator*() const { return tree_->links_[link_].value; }
      Iterator& operator++() {
        link_ = tree_->links_[link_].next;
        --left_;
        return *this;
      }
      bool operator!=(const Iterator& other) const { return left_ != other.left_; }
      bool at_end() const { return left_ == 0; }

     private:
      const PickleTree* tree_;
      uint32_t link_, left_;
    };
    Items(const PickleTree* tree, const Node& node)
        : tree_(tree), first_(node.chain.first), count_(node.count) {}
    Iterator begin() const { return {tree_, first_, count_}; }
    Iterator end() const { return {tree_, 0, 0}; }

   private:
    const PickleTree* tree_;
    uint32_t first_, count_;
  };
  Items items(NodeId container) const;
  // The elements of a tuple or list of at most `most`; false for anything else.
  bool sequence(NodeId id, size_t most, std::vector<NodeId>& out) const;
  // Dictionary, or an object with dictionary entries (a class derived from dict): its dictionary. Else
  // `none`.
  NodeId dictionary_of(NodeId id) const;
  // The value of a string key, the last one where it is there twice; `none` where it is not.
  NodeId find(NodeId dictionary, std::string_view key) const;

  // Refuses a result in which a global stands that is neither known nor the class of an object.
  void check_globals(NodeId root) const;

 private:
  struct Link {
    uint32_t value, next;
  };
  static constexpr int64_t kShared = 4096;
  const ByteSource& source_;
  std::vector<NodeId> shared_integers_ = std::vector<NodeId>(kShared, none);
  std::deque<Node> nodes_;
  std::deque<Link> links_;
  std::deque<Global> globals_;
  std::vector<std::pair<NodeId, TextPlace>> places_;  // by node
  std::map<std::pair<std::string_view, std::string_view>, NodeId> global_nodes_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  int64_t chunk_left_ = 0, kept_ = 0;
  size_t look_ups_ = 0;
  char* chunk_at_ = nullptr;
};

// A short text for a person: `3`, `'abc'`, `[1, 2, 3]`, `argparse.Namespace(lr=0.1)`. At most `most` bytes
// and some levels deep; bytes that are not printable UTF-8 are escaped.
std::string short_text(const PickleTree& tree, NodeId id, size_t most = 200);

}  // namespace mode_ensemble
