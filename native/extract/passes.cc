#include "extract/passes.h"

#include <array>
#include <string_view>

#include "models/layers.h"
#include "runtime/device.h"

namespace mode_ensemble {
namespace {

at::ScalarType storage_type(const std::string& storage) {
  if (storage == "float32") return at::kFloat;
  if (storage == "float16") return at::kHalf;
  throw Error(ErrorCode::config, "storage: expected float32 or float16, found " + storage + ".");
}

// logits [N, C], stage1 … [N, C_k] (averages over space) and, where no stage's average is what the last layer
// reads, penultimate [N, D].
void plain_columns(Columns& columns, BatchPasses& passes, const ExtractOutput& output, Carried&) {
  const auto type = storage_type(output.storage);
  const auto& result = passes.plain();
  const auto logits = result.logits.to(at::kFloat);
  columns.add("predictions", logits.argmax(1));
  columns.add("logits", logits);
  for (size_t k = 0; k < result.stages.size(); ++k)
    columns.add("stage" + std::to_string(k + 1), global_average(result.stages[k]).to(type));
  if (passes.network.penultimate_stage() == 0 && result.penultimate.defined())
    columns.add("penultimate", result.penultimate.to(type));
}

struct PassRow {
  std::string_view kind;
  void (*make)(Columns& columns, BatchPasses& passes, const ExtractOutput& output, Carried& carried);
};

// A new kind of pass is a function and a row here.
constexpr std::array<PassRow, 1> kPasses{{
    {"plain", plain_columns},
}};

}  // namespace

const ForwardResult& BatchPasses::plain() {
  if (plain_) return *plain_;
  const Autocast autocast(precision);
  plain_ = network.forward(batch.images, /*training=*/false, {.stages = true});
  if (plain_->logits.size(1) != arch.classes)
    throw Error(ErrorCode::checkpoint, "The network gives " + std::to_string(plain_->logits.size(1)) +
                                           " logits, expected " + std::to_string(arch.classes) +
                                           ", as many as the data has classes.");
  return *plain_;
}

Columns make_columns(BatchPasses& passes, const ExtractOutput& output, Carried& carried) {
  for (const auto& row : kPasses) {
    if (row.kind != output.pass.kind) continue;
    Columns columns;
    columns.add("labels", passes.batch.labels);
    row.make(columns, passes, output, carried);
    return columns;
  }
  throw Error(ErrorCode::config,
              "pass.kind: expected one of the known passes, found " + output.pass.kind + ".");
}

}  // namespace mode_ensemble
