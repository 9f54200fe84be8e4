// What can be made of a batch of images with one network: the columns of a feature file.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "data/tensor_loader.h"
#include "extract/extract.h"
#include "models/network.h"

namespace mode_ensemble {

struct Columns {
  std::vector<std::string> names;
  std::vector<at::Tensor> rows;  // [n, ...], contiguous

  void add(std::string name, const at::Tensor& tensor) {
    names.push_back(std::move(name));
    rows.push_back(tensor.contiguous());
  }
};

// What a pass leaves for the members that come after it with the same batch.
struct Carried {
  at::Tensor gradient;  // sum of the members' gradients of the images, for `gradient: accumulated`
};

// One batch and one network: the ordinary forward pass is made once for all that read it.
class BatchPasses {
 public:
  BatchPasses(Network& network, const Batch& batch, const ArchOptions& arch, const std::string& precision)
      : network(network), batch(batch), arch(arch), precision(precision) {}
  // Logits, penultimate feature and the maps of all stages.
  const ForwardResult& plain();

  Network& network;
  const Batch& batch;
  const ArchOptions& arch;
  const std::string& precision;

 private:
  std::optional<ForwardResult> plain_;
};

// The columns of `pass`, 8-byte ones first: every section of the file then begins at a multiple of its item's
// size. Features (not logits) have the type that `storage` names. Throws Error(config) where there is no such
// kind of pass, or the network cannot make it.
Columns make_columns(BatchPasses& passes, const ExtractOutput& output, Carried& carried);

}  // namespace mode_ensemble
