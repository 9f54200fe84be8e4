// From a torch pickle to names: which tensors there are, which of them are the network's weights, and what
// else.
#pragma once
#include <string>

#include "checkpoint/contents.h"
#include "checkpoint/pickle_tree.h"
#include "checkpoint/torch_objects.h"

namespace mode_ensemble {

// `pickle_offset`: for messages. `want`: the top-level entry that holds the weights, or "" to find it.
// Storages are numbered as in `objects`; their places are the caller's to fill.
void collect_contents(const PickleTree& tree, NodeId root, const TorchObjects& objects,
                      const std::string& want, int64_t pickle_offset, Contents& contents);

}  // namespace mode_ensemble
