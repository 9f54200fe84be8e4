// What can be made of a batch of images with one network: the columns of a feature file.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/tensor_loader.h"
#include "extract/extract.h"
#include "extract/stage_scores.h"
#include "models/network.h"
#include "runtime/compute.h"

namespace mode_ensemble {

struct Columns {
  std::vector<std::string> names;
  std::vector<at::Tensor> rows;  // [n, ...], contiguous, on the CPU

  void add(std::string name, const at::Tensor& tensor) {
    names.push_back(std::move(name));
    rows.push_back(tensor.contiguous().cpu());
  }
};

// What the members leave to those after them, of the same batch: for each temperature the sum of their
// gradients of the images, for `gradient: accumulated`.
using Carried = std::map<double, at::Tensor>;

// One batch and one network: the ordinary forward pass is made once for all that read it.
class BatchPasses {
 public:
  struct Settings {
    const ArchOptions& arch;
    const Compute& compute;
    bool with_graph = false;  // gradients will be asked for; the results are the same bits
    // What to call the image of a row in an error.
    std::function<std::string(int64_t row)> name_of;
  };

  BatchPasses(Network& network, const Batch& batch, const Settings& settings)
      : network(network), batch(batch), settings(settings) {}
  // Logits, penultimate feature and the maps of all stages.
  const ForwardResult& plain();
  // ∇_x CE(z/temperature, argmax z) of each image: [N, 3, S, S], float32.
  const at::Tensor& gradient(double temperature);
  // Logits of other images, float32.
  at::Tensor logits_of(const at::Tensor& images);
  // Mahalanobis scores of the stages: [n, magnitudes, stages], float64.
  at::Tensor stage_scores(const StageScores& scorer);

  Network& network;
  const Batch& batch;
  const Settings& settings;

 private:
  ForwardResult forward(const at::Tensor& images, const Want& want);

  at::Tensor images_;  // what the graph begins with
  std::optional<ForwardResult> plain_;
  std::map<double, at::Tensor> gradients_;
};

bool is_perturbed(const ExtractOutput& output);
bool is_accumulated(const ExtractOutput& output);

// Throws Error(config) where there is no such pass or no such type of storage, or the network cannot make it.
void check_output(const ExtractOutput& output, const Network& network);

// The columns of an output that was checked, those of larger items first: every section of the file then
// begins at a multiple of its item's size. Features (not logits) have the type that `storage` names; throws
// Error(numeric), which names the image, where one is too large for it. `carried` has the temperature where
// the gradient is accumulated.
Columns make_columns(BatchPasses& passes, const ExtractOutput& output, const Carried& carried);

}  // namespace mode_ensemble
