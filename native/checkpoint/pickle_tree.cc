#include "checkpoint/pickle_tree.h"

#include <algorithm>
#include <cstring>

#include "checkpoint/pickle_calls.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kChunk = 64 << 10;

}  // namespace

PickleTree::PickleTree(const ByteSource& source) : source_(source) {
  add({});
  Node boolean;
  boolean.kind = Kind::boolean;
  add(boolean);
  boolean.integer = 1;
  add(boolean);
  add_container(Kind::tuple);
}

NodeId PickleTree::add(Node node) {
  if (nodes_.size() >= PickleLimits::nodes)
    source_.fail_at(offset, "expected a pickle of at most " + std::to_string(PickleLimits::nodes) +
                                " values, found more.");
  nodes_.push_back(node);
  return static_cast<NodeId>(nodes_.size() - 1);
}

void PickleTree::count_look_up() {
  if (++look_ups_ > PickleLimits::look_ups)
    source_.fail_at(offset, "expected at most " + std::to_string(PickleLimits::look_ups) +
                                " names and calls in a pickle, found more.");
}

NodeId PickleTree::add_container(Kind kind) {
  Node node;
  node.kind = kind;
  node.chain = {0, 0};
  return add(node);
}

NodeId PickleTree::add_integer(int64_t value) {
  Node node;
  node.kind = Kind::integer;
  node.integer = value;
  if (value < 0 || value >= kShared) return add(node);
  NodeId& shared = shared_integers_[static_cast<size_t>(value)];
  if (shared == none) shared = add(node);
  return shared;
}

NodeId PickleTree::add_real(double value) {
  Node node;
  node.kind = Kind::real;
  node.real = value;
  return add(node);
}

int64_t PickleTree::to_keep(int64_t length) const {
  const int64_t most = kept_ < PickleLimits::early_strings ? PickleLimits::string : PickleLimits::late_string;
  return length <= most ? length : PickleLimits::cut_to;
}

NodeId PickleTree::add_text(Kind kind, int64_t length, int64_t kept, char** room) {
  if (kept_ + kept > PickleLimits::all_strings)
    source_.fail_at(offset, "expected at most 16 MiB of text in a pickle, found more.");
  Node node;
  node.kind = kind;
  node.cut = kept < length;
  node.count = static_cast<uint32_t>(length);
  if (kept > chunk_left_) {
    const int64_t size = std::max(kChunk, kept);
    chunks_.push_back(std::make_unique<char[]>(static_cast<size_t>(size)));
    chunk_at_ = chunks_.back().get();
    chunk_left_ = size;
  }
  static char nothing[1];
  node.text = kept > 0 ? chunk_at_ : nothing;
  *room = kept > 0 ? chunk_at_ : nothing;
  chunk_at_ += kept, chunk_left_ -= kept, kept_ += kept;
  return add(node);
}

TextPlace PickleTree::place_of(NodeId text) const {
  const auto by_node = [](const std::pair<NodeId, TextPlace>& entry, NodeId id) { return entry.first < id; };
  const auto found = std::lower_bound(places_.begin(), places_.end(), text, by_node);
  return found != places_.end() && found->first == text ? found->second : TextPlace{};
}

NodeId PickleTree::add_global(std::string_view module, std::string_view name, int64_t where) {
  count_look_up();
  const auto found = global_nodes_.find({module, name});
  if (found != global_nodes_.end()) return found->second;
  if (globals_.size() >= PickleLimits::globals)
    source_.fail_at(where, "expected at most " + std::to_string(PickleLimits::globals) +
                               " names of classes and functions, found more.");
  char* room = nullptr;
  const auto size = static_cast<int64_t>(module.size() + name.size());
  add_text(Kind::string, size, size, &room);
  std::memcpy(room, module.data(), module.size());
  std::memcpy(room + module.size(), name.data(), name.size());
  Global global;
  global.module = {room, module.size()};
  global.name = {room + module.size(), name.size()};
  global.known = find_known_global(module, name);
  global.offset = where;
  globals_.push_back(global);
  Node node;
  node.kind = Kind::global;
  node.count = static_cast<uint32_t>(globals_.size() - 1);
  const NodeId id = add(node);
  global_nodes_.emplace(std::pair(global.module, global.name), id);
  return id;
}

NodeId PickleTree::add_object(NodeId class_node, NodeId arguments) {
  const NodeId id = add_container(Kind::object);
  append(id, arguments);
  for (int i = 0; i < 3; ++i) append(id, none);
  nodes_[id].count = class_node;
  globals_[nodes_[class_node].count].used_as_class = true;
  return id;
}

void PickleTree::append(NodeId container, NodeId value) {
  if (links_.size() >= PickleLimits::links)
    source_.fail_at(offset, "expected containers of at most " + std::to_string(PickleLimits::links) +
                                " elements together, found more.");
  const auto link = static_cast<uint32_t>(links_.size());
  links_.push_back({value, 0});
  Node& node = nodes_[container];
  if (node.count++ == 0)
    node.chain.first = link;
  else
    links_[node.chain.last].next = link;
  node.chain.last = link;
}

// While an object is made its node counts links like any container; afterwards `count` is its class.
NodeId PickleTree::part(NodeId object, ObjectPart part) const {
  uint32_t link = nodes_[object].chain.first;
  for (uint32_t i = 0; i < static_cast<uint32_t>(part); ++i) link = links_[link].next;
  return links_[link].value;
}

void PickleTree::set_part(NodeId object, ObjectPart part, NodeId value) {
  uint32_t link = nodes_[object].chain.first;
  for (uint32_t i = 0; i < static_cast<uint32_t>(part); ++i) link = links_[link].next;
  links_[link].value = value;
}

std::string_view PickleTree::text(NodeId id) const {
  const Node& node = nodes_[id];
  return {node.text, node.cut ? static_cast<size_t>(PickleLimits::cut_to) : node.count};
}

PickleTree::Items PickleTree::items(NodeId id) const {
  Node node = nodes_[id];
  if (node.kind == Kind::object) node.count = 4;
  if (node.kind < Kind::list || node.kind == Kind::global || node.kind > Kind::object) node.count = 0;
  if (node.count == 0) node.chain = {0, 0};
  return {this, node};
}

bool PickleTree::sequence(NodeId id, size_t most, std::vector<NodeId>& out) const {
  out.clear();
  const Node& node = nodes_[id];
  if ((node.kind != Kind::tuple && node.kind != Kind::list) || node.count > most) return false;
  for (const NodeId item : items(id)) out.push_back(item);
  return true;
}

NodeId PickleTree::dictionary_of(NodeId id) const {
  if (nodes_[id].kind == Kind::dictionary) return id;
  return nodes_[id].kind == Kind::object ? part(id, ObjectPart::entries) : none;
}

NodeId PickleTree::find(NodeId dictionary, std::string_view key) const {
  NodeId value = none;
  if (nodes_[dictionary].kind != Kind::dictionary) return value;
  for (auto at = items(dictionary).begin(); !at.at_end(); ++at) {
    const NodeId k = *at;
    ++at;
    if (nodes_[k].kind == Kind::string && !nodes_[k].cut && text(k) == key) value = *at;
  }
  return value;
}

void PickleTree::check_globals(NodeId root) const {
  const auto refuse = [&](const Global& global) {
    source_.fail_at(global.offset, "names " + printable(global.full_name()) +
                                       ", which is neither data nor the class of an object: refused.");
  };
  for (const Global& global : globals_)
    if (!global.known && !global.used_as_class) refuse(global);
  std::vector<bool> seen(nodes_.size());
  std::vector<NodeId> open{root};
  seen[root] = true;
  while (!open.empty()) {
    const NodeId id = open.back();
    open.pop_back();
    if (nodes_[id].kind == Kind::global && !global(id).known) refuse(global(id));
    for (const NodeId item : items(id)) {
      if (seen[item]) continue;
      seen[item] = true;
      open.push_back(item);
    }
  }
}

}  // namespace mode_ensemble
