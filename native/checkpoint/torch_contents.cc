#include "checkpoint/torch_contents.h"

#include <algorithm>

#include "checkpoint/pickle_calls.h"

namespace mode_ensemble {
namespace {

constexpr size_t kMaxTensors = 100'000, kMaxValues = 1000, kMaxValueText = 200, kMaxName = 4096,
                 kMaxNames = 8 << 20;
constexpr size_t kMaxDepth = 200;
// Steps of the walk: what is shared is visited once for each path to it, and a hostile file has many.
constexpr size_t kMaxSteps = 4'000'000;
constexpr const char* kMetadata = "mode_ensemble";
// The averaged weights first: files that hold both are evaluated with them (T2T-ViT, timm).
constexpr const char* kWeightKeys[] = {"state_dict_ema", "state_dict", "model", "net"};

bool is_container(Kind kind) {
  return kind == Kind::list || kind == Kind::tuple || kind == Kind::set || kind == Kind::dictionary;
}

class Collector {
 public:
  Collector(const PickleTree& tree, NodeId root, const TorchObjects& objects, int64_t offset,
            Contents& contents)
      : tree_(tree),
        root_(root),
        top_(tree.dictionary_of(root)),
        objects_(objects),
        offset_(offset),
        contents_(contents) {}

  void run(const std::string& want) {
    choose_weights(want);
    read_metadata();
    walk();
    if (more_values_ > 0) contents_.values.emplace_back("…", std::to_string(more_values_) + " more");
    if (contents_.weights_error.empty())
      set_weights(contents_, tree_.source().name(), offset_, std::move(named_));
  }

 private:
  struct Frame {
    NodeId node;
    PickleTree::Items::Iterator at;
    size_t path;  // length of the path to the node itself
    size_t index = 0;
    bool quiet;    // within an object: tensors are listed, values are not
    bool weights;  // this is the chosen dictionary
  };

  std::string message(const std::string& sentence) const {
    return tree_.source().name() + ": byte " + std::to_string(offset_) + ": " + sentence;
  }

  void charge(size_t steps) {
    steps_ += steps;
    if (steps_ > kMaxSteps)
      tree_.source().fail_at(offset_,
                             "expected a checkpoint's pickle, found one that unfolds to millions of values.");
  }

  static bool is_module(const PickleTree& tree, NodeId node) {
    if (tree[node].kind != Kind::object) return false;
    const NodeId state = tree.part(node, ObjectPart::state);
    return tree.find(state, "_parameters") != PickleTree::none ||
           tree.find(state, "_modules") != PickleTree::none;
  }

  bool holds_tensors(NodeId dictionary) const {
    if (tree_[dictionary].kind != Kind::dictionary) return false;
    for (auto at = tree_.items(dictionary).begin(); !at.at_end(); ++at) {
      const bool named = tree_[*at].kind == Kind::string;
      ++at;
      if (named && (tree_[*at].kind == Kind::tensor || is_unusable(*at))) return true;
    }
    return false;
  }

  bool is_unusable(NodeId node) const {
    if (tree_[node].kind != Kind::object) return false;
    const KnownGlobal* known = tree_.class_of(node).known;
    return known && known->call == Call::unusable;
  }

  void choose_weights(const std::string& want) {
    if (!want.empty()) {
      const NodeId found = tree_.find(top_, want);
      weights_ = tree_.dictionary_of(found);
      if (holds_tensors(weights_)) {
        contents_.weights_in = want;
        return;
      }
      contents_.weights_error = message("expected weights in \"" + printable(want) + "\", found " +
                                        (found == PickleTree::none ? "no such entry; " + describe_top()
                                                                   : short_text(tree_, found, 60) + "."));
      weights_ = PickleTree::none;
      return;
    }
    for (const char* key : kWeightKeys) {
      weights_ = tree_.dictionary_of(tree_.find(top_, key));
      if (!holds_tensors(weights_)) continue;
      contents_.weights_in = key;
      return;
    }
    weights_ = top_;
    if (holds_tensors(top_)) return;
    weights_ = PickleTree::none;
    for (const char* key : {"", "state_dict_ema", "ema", "state_dict", "model", "net"}) {
      const NodeId node = *key ? tree_.find(top_, key) : root_;
      if (!is_module(tree_, node)) continue;
      contents_.weights_error = message(
          "" + std::string(*key ? "\"" + std::string(key) + "\" " : "") + "holds a whole Python module (" +
          printable(tree_.class_of(node).full_name()) + "); save its state_dict().");
      return;
    }
    contents_.weights_error =
        message("expected a network's weights in " + std::string("\"state_dict_ema\", \"state_dict\", ") +
                "\"model\", \"net\" or at the top level, found none; " + describe_top());
  }

  std::string describe_top() const {
    if (tree_[top_].kind != Kind::dictionary) return "the top level is " + short_text(tree_, root_, 80) + ".";
    if (tree_[top_].count == 0) return "the top level is empty.";
    std::string text = "the top level holds ";
    int n = 0;
    for (auto at = tree_.items(top_).begin(); !at.at_end(); ++at) {
      if (++n > 10) return text + ", ….";
      text += (n > 1 ? ", " : "") + short_text(tree_, *at, 60);
      ++at;
      if (is_container(tree_[*at].kind)) text += " (" + kind_text(*at) + ")";
    }
    return text + ".";
  }

  std::string kind_text(NodeId node) const {
    const Kind kind = tree_[node].kind;
    if (kind == Kind::dictionary) return "dictionary of " + std::to_string(tree_[node].count / 2);
    return std::string(kind == Kind::list    ? "list"
                       : kind == Kind::tuple ? "tuple"
                                             : "set") +
           " of " + std::to_string(tree_[node].count);
  }

  std::string key_text(NodeId key) const {
    if (tree_[key].kind != Kind::string) return short_text(tree_, key, 60);
    return printable(tree_.text(key).substr(0, kMaxName + 1)) + (tree_[key].cut ? "…" : "");
  }

  void read_metadata() {
    const NodeId found = tree_.find(top_, kMetadata);
    if (tree_[found].kind != Kind::dictionary) return;
    std::map<std::string, std::string> metadata;
    const auto is_text = [&](NodeId node) { return tree_[node].kind == Kind::string && !tree_[node].cut; };
    for (auto at = tree_.items(found).begin(); !at.at_end(); ++at) {
      const NodeId key = *at;
      ++at;
      if (!is_text(key) || !is_text(*at)) return;
      charge(1 + tree_.text(*at).size() / 16);
      metadata[std::string(tree_.text(key))] = std::string(tree_.text(*at));
    }
    contents_.metadata = std::move(metadata);
  }

  void add_value(NodeId node, const std::string& note = "") {
    if (contents_.values.size() >= kMaxValues) {
      ++more_values_;
      return;
    }
    std::string path = path_.substr(0, kMaxValueText);
    contents_.values.emplace_back(std::move(path),
                                  note.empty() ? short_text(tree_, node, kMaxValueText) : note);
  }

  void add_tensor(NodeId node) {
    const PickledTensor& tensor = objects_.tensors[tree_[node].count];
    names_ += path_.size();
    if (path_.size() > kMaxName || names_ > kMaxNames)
      tree_.source().fail_at(offset_,
                             "expected tensors' names of at most 4096 bytes and 8 MiB together, found more.");
    if (contents_.tensors.size() >= kMaxTensors)
      tree_.source().fail_at(offset_, "expected at most 100000 tensors, found more.");
    contents_.tensors.push_back({path_.empty() ? "tensor" : path_, tensor.dtype, tensor.shape});
    contents_.places.push_back({tensor.storage, tensor.first_byte, tensor.strides, tensor.fault});
  }

  // A list of plain values is one value; one that holds anything larger is walked.
  bool is_plain(NodeId node) {
    const Kind kind = tree_[node].kind;
    if (kind == Kind::dictionary) return tree_[node].count == 0;
    for (const NodeId item : tree_.items(node)) {
      charge(1);
      const Kind inner = tree_[item].kind;
      if (is_container(inner) || inner >= Kind::object) return false;
    }
    return true;
  }

  void walk() {
    walked_.assign(tree_.size(), false);
    visit(root_, false);
    while (!frames_.empty()) {
      Frame& frame = frames_.back();
      if (frame.at.at_end()) {
        path_.resize(frame.path);
        walked_[frame.node] = false;
        frames_.pop_back();
        continue;
      }
      path_.resize(frame.path);
      const Kind kind = tree_[frame.node].kind;
      const bool quiet = frame.quiet, weights = frame.weights;
      if (kind == Kind::object) {
        // Its parts lie on the same path: attributes, entries and elements of one thing.
        const NodeId part = *frame.at;
        ++frame.at;
        visit(part, quiet || tree_[part].kind != Kind::dictionary);
        continue;
      }
      std::string key;
      bool named = false;
      if (kind == Kind::dictionary) {
        named = tree_[*frame.at].kind == Kind::string;
        key = key_text(*frame.at);
        ++frame.at;
      } else {
        key = std::to_string(frame.index++);
      }
      const NodeId value = *frame.at;
      ++frame.at;
      if (!path_.empty()) path_ += '.';
      path_ += key;
      charge(1 + path_.size() / 16);
      if (path_ == kMetadata && !contents_.metadata.empty()) continue;
      if (weights && named) {
        if (is_unusable(value) && contents_.weights_error.empty())
          contents_.weights_error = message("weight \"" + path_ + "\" is " +
                                            tree_.class_of(value).known->note + ", which cannot be read.");
        if (tree_[value].kind == Kind::tensor) named_.push_back({std::move(key), contents_.tensors.size()});
      }
      visit(value, quiet);
    }
  }

  void visit(NodeId node, bool quiet) {
    charge(1);
    const Kind kind = tree_[node].kind;
    if (kind == Kind::tensor) return add_tensor(node);
    if (is_unusable(node)) return quiet ? void() : add_value(node);
    const bool object = kind == Kind::object;
    // What a dictionary-like object holds is listed like a dictionary, if it is the weights or all there is.
    const bool transparent =
        object && (node == root_ || (weights_ != PickleTree::none && tree_.dictionary_of(node) == weights_));
    if (object && !quiet && !transparent) add_value(node);
    if (!object && (!is_container(kind) || is_plain(node))) {
      if (!quiet && node != root_) add_value(node);
      return;
    }
    if (walked_[node]) {
      if (!quiet) add_value(node, "itself again");
      return;
    }
    if (frames_.size() >= kMaxDepth)
      tree_.source().fail_at(offset_, "expected values nested at most 200 deep, found more.");
    walked_[node] = true;
    // The dictionary may be there on other paths, too; its tensors count on the one it was chosen by.
    const bool weights = node == weights_ && !found_weights_ && path_ == printable(contents_.weights_in);
    found_weights_ = found_weights_ || weights;
    frames_.push_back(
        {node, tree_.items(node).begin(), path_.size(), 0, quiet || (object && !transparent), weights});
  }

  const PickleTree& tree_;
  const NodeId root_, top_;
  const TorchObjects& objects_;
  const int64_t offset_;
  Contents& contents_;
  NodeId weights_ = PickleTree::none;
  std::vector<WeightName> named_;
  std::vector<Frame> frames_;
  std::vector<bool> walked_;
  std::string path_;
  size_t steps_ = 0, names_ = 0, more_values_ = 0;
  bool found_weights_ = false;
};

}  // namespace

void collect_contents(const PickleTree& tree, NodeId root, const TorchObjects& objects,
                      const std::string& want, int64_t pickle_offset, Contents& contents) {
  Collector(tree, root, objects, pickle_offset, contents).run(want);
}

}  // namespace mode_ensemble
