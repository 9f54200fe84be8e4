// What the names in a torch pickle stand for: storages, tensors, dictionaries; everything else stays inert.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/dtype.h"
#include "checkpoint/pickle_tree.h"

namespace mode_ensemble {

struct PickledStorage {
  std::string key;
  DType dtype = DType::u8;
  int64_t bytes = 0;
  int64_t offset = 0;  // where the pickle names it
};

// A storage as a pickle refers to it: all of it, or (in old files) a part.
struct StorageRef {
  uint32_t storage = 0;
  DType dtype = DType::u8;
  bool untyped = false;
  int64_t first_byte = 0, bytes = 0;
};

struct PickledTensor {
  uint32_t storage = 0;
  DType dtype = DType::u8;
  int64_t first_byte = 0;               // within the storage, of element [0, 0, …]
  std::vector<int64_t> shape, strides;  // strides in elements
  const char* fault = "";               // why its numbers cannot be read
};

class TorchObjects {
 public:
  explicit TorchObjects(PickleTree& tree) : tree_(tree) {}

  NodeId call(NodeId function, NodeId arguments);     // REDUCE
  NodeId make_object(NodeId type, NodeId arguments);  // NEWOBJ
  NodeId load_persistent(NodeId id);                  // BINPERSID

  std::vector<PickledStorage> storages;
  std::vector<StorageRef> storage_refs;
  std::vector<PickledTensor> tensors;

 private:
  [[noreturn]] void fail(const std::string& sentence) const {
    tree_.source().fail_at(tree_.offset, sentence);
  }
  NodeId call_known(const KnownGlobal& known, NodeId function, const std::vector<NodeId>& arguments,
                    NodeId tuple);
  NodeId copy(Kind kind, const std::vector<NodeId>& arguments);
  NodeId dictionary(const std::vector<NodeId>& arguments);
  NodeId encode(const std::vector<NodeId>& arguments);
  NodeId numpy_scalar(NodeId function, const std::vector<NodeId>& arguments, NodeId tuple);
  NodeId rebuild_tensor(const std::vector<NodeId>& arguments, const DType* dtype, NodeId metadata);
  NodeId rebuild_from_type(const std::vector<NodeId>& arguments);
  std::vector<int64_t> sizes(NodeId id, const char* what);
  int64_t count(NodeId id, const char* what) const;  // a whole number from 0
  std::string key_of(NodeId id) const;

  PickleTree& tree_;
  std::map<std::string, uint32_t> by_key_;
  struct ViewPlace {
    uint32_t storage;
    int64_t first_byte, bytes;
  };
  std::map<std::string, ViewPlace> views_;
};

}  // namespace mode_ensemble
