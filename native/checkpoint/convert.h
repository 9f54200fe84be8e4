// One format of checkpoint into another.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "checkpoint/checkpoint.h"
#include "models/registry.h"
#include "runtime/context.h"

namespace mode_ensemble {

struct ConvertOptions {
  std::string input;   // any file that Checkpoint reads
  std::string output;  // written whole or not at all
  std::string format;  // of the output: `torch` (a .pth of torch.save's zip format) or `safetensors`
  // Where it is given, the weights must be this network's; they take its names and order, and float32. With 0
  // classes, as many as they have.
  std::optional<ArchOptions> arch;
  bool float32 = false;    // floating-point tensors of other widths become float32
  std::string dictionary;  // the entry that holds the weights; '' for the first of the usual names
  std::map<std::string, std::string> metadata;
};

struct ConvertResult {
  int64_t tensors = 0;
  int64_t bytes = 0;  // of the tensors
};

// Without `arch` names (`module.` and `_orig_mod.` taken off), order and types stay as they are.
ConvertResult convert(const ConvertOptions& options, JobContext& context);

struct InspectOptions {
  std::string path;
  std::string dictionary;  // as in ConvertOptions
  bool identify = false;   // look for an architecture that the weights fit
};

struct Inspection {
  std::shared_ptr<const Checkpoint> checkpoint;
  // What keeps the file from being a network's weights; '' where nothing does.
  std::string problem;
  std::optional<ArchOptions> fits;
};

// What a file holds.
Inspection inspect(const InspectOptions& options, JobContext& context);

}  // namespace mode_ensemble
