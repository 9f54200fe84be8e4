// torch.save's format before PyTorch 1.6 (torch/serialization.py, _legacy_load): five pickles, one behind the
// other (magic number, protocol, system, the object, the storages' keys), then each storage's element count
// and bytes.
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "checkpoint/formats.h"
#include "checkpoint/pickle.h"
#include "checkpoint/torch_contents.h"

namespace mode_ensemble {
namespace {

// 0x1950a86a20f9469cfc6c, little-endian.
constexpr unsigned char kMagic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
constexpr int64_t kProtocol = 1001;

}  // namespace

void read_torch_legacy(const ByteSource& source, const std::string& want, Contents& contents) {
  PickleTree tree(source);
  TorchObjects objects(tree);
  PickleInput input(source, 0, source.size());
  const NodeId magic = read_pickle(input, tree, objects);
  if (tree[magic].kind != Kind::big_integer ||
      tree.text(magic) != std::string_view(reinterpret_cast<const char*>(kMagic), sizeof kMagic))
    source.fail_at(0, "expected the magic number of torch.save, found " + short_text(tree, magic, 60) +
                          ": another program's pickle.");
  const int64_t protocol_at = input.offset();
  const NodeId protocol = read_pickle(input, tree, objects);
  if (tree[protocol].kind != Kind::integer || tree[protocol].integer != kProtocol)
    source.fail_at(protocol_at,
                   "expected torch.save's protocol 1001, found " + short_text(tree, protocol, 60) + ".");
  const int64_t system_at = input.offset();
  if (tree[read_pickle(input, tree, objects)].kind != Kind::dictionary)
    source.fail_at(system_at, "expected a dictionary that describes the system, found another value.");

  const int64_t root_at = input.offset();
  const NodeId root = read_pickle(input, tree, objects);
  tree.check_globals(root);
  const int64_t keys_at = input.offset();
  const NodeId keys = read_pickle(input, tree, objects);
  if (tree[keys].kind != Kind::list)
    source.fail_at(keys_at, "expected the list of storages, found another value.");

  std::unordered_map<std::string_view, size_t> by_key;
  for (size_t i = 0; i < objects.storages.size(); ++i) {
    by_key.emplace(objects.storages[i].key, i);
    contents.storages.emplace_back().name = objects.storages[i].key;
  }
  std::vector<bool> found(objects.storages.size());
  int64_t at = input.offset();
  for (const NodeId node : tree.items(keys)) {
    const std::string key = tree[node].kind == Kind::integer ? std::to_string(tree[node].integer)
                            : tree[node].kind == Kind::string || tree[node].kind == Kind::bytes
                                ? std::string(tree.text(node))
                                : std::string();
    const auto known = by_key.find(key);
    if (known == by_key.end())
      source.fail_at(keys_at, "storage \"" + printable(key) + "\" is listed, and no tensor refers to it.");
    if (found[known->second]) source.fail_at(keys_at, "storage \"" + printable(key) + "\" is listed twice.");
    found[known->second] = true;
    const PickledStorage& storage = objects.storages[known->second];
    const std::string what = "storage \"" + printable(key) + "\": ";
    if (source.size() - at < 8)
      source.fail_at(at, what + "expected its element count, found the end of the file.");
    uint8_t count[8];
    source.read_at(at, count, 8);
    const auto expected = static_cast<uint64_t>(storage.bytes / size_of(storage.dtype));
    StoragePlace& place = contents.storages[known->second];
    // PyTorch writes little-endian whatever the machine; should a file be otherwise, its counts show it.
    if (little_endian(count, 8) != expected) {
      std::reverse(count, count + 8);
      place.swap = little_endian(count, 8) == expected;
      if (!place.swap) {
        std::reverse(count, count + 8);
        source.fail_at(at, what + "expected " + std::to_string(expected) + " elements, found " +
                               std::to_string(little_endian(count, 8)) + ".");
      }
    }
    at += 8;
    if (storage.bytes > source.size() - at)
      source.fail_at(at, what + "expected " + std::to_string(storage.bytes) + " bytes, found " +
                             std::to_string(source.size() - at) + " to the end of the file.");
    place.offset = at;
    place.size = storage.bytes;
    at += storage.bytes;
  }
  for (size_t i = 0; i < found.size(); ++i)
    if (!found[i])
      source.fail_at(objects.storages[i].offset,
                     "storage \"" + printable(objects.storages[i].key) + "\" has no data in the file.");
  contents.format = "torch legacy";
  collect_contents(tree, root, objects, want, root_at, contents);
}

}  // namespace mode_ensemble
