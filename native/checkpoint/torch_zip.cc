// torch.save's format since PyTorch 1.6: a zip archive with a pickle, data.pkl, and a record for each
// storage.
#include "checkpoint/formats.h"
#include "checkpoint/pickle.h"
#include "checkpoint/torch_contents.h"
#include "checkpoint/zip.h"

namespace mode_ensemble {

void read_torch_zip(const std::shared_ptr<const ByteSource>& source, const std::string& want,
                    Contents& contents) {
  const ZipArchive zip(source);
  if (zip.find("constants.pkl") || zip.has_folder("code"))
    source->fail_at(0,
                    "is a TorchScript module, not a checkpoint; use --arch script:" + source->name() + ".");
  zip.require_stored();
  const ZipRecord* pickle = zip.find("data.pkl");
  if (!pickle) source->fail_at(0, "is a zip archive without \"data.pkl\": torch.save did not write it.");
  if (pickle->size > kCheckpointPickle.most_bytes)
    source->fail_at(pickle->offset, "expected a pickle of at most 64 MiB, found one of " +
                                        std::to_string(pickle->size) + " bytes.");
  zip.check_crc(*pickle);

  bool big = false;
  if (const ZipRecord* order = zip.find("byteorder")) {
    const std::string text = zip.read_small(*order, 16);
    big = text == "big";
    if (!big && text != "little")
      source->fail_at(order->offset,
                      "record \"byteorder\": expected \"little\" or \"big\", found something else.");
  }

  PickleTree tree(*source);
  TorchObjects objects(tree);
  PickleInput input(*source, pickle->offset, pickle->offset + pickle->size);
  const NodeId root = read_pickle(input, tree, objects);
  tree.check_globals(root);

  for (const PickledStorage& storage : objects.storages) {
    const std::string name = "data/" + storage.key;
    const ZipRecord* record = zip.find(name);
    if (!record)
      source->fail_at(storage.offset, "expected a record \"" + printable(name) + "\", found none.");
    if (record->size != storage.bytes)
      source->fail_at(record->offset, "record \"" + name + "\": expected " + std::to_string(storage.bytes) +
                                          " bytes, found " + std::to_string(record->size) + ".");
    StoragePlace& place = contents.storages.emplace_back();
    place.name = name;
    place.offset = record->offset;
    place.size = record->size;
    place.has_crc = true;
    place.crc = record->crc;
    place.swap = big;
  }
  contents.format = "torch zip";
  collect_contents(tree, root, objects, want, pickle->offset, contents);
}

}  // namespace mode_ensemble
