// What is about the Gaussians of the stages.
#include "addon/fields.h"
#include "addon/options.h"

namespace mode_ensemble::addon {

FitGaussiansOptions read_fit_gaussians_options(const Napi::Value& value) {
  const Fields fields(value, "");
  FitGaussiansOptions out;
  out.train = fields.strings("train");
  out.stages = fields.strings("stages");
  out.classes = at_least(fields, "classes", 1);
  if (out.classes > 1 << 20) throw Error(ErrorCode::config, "classes: expected 1 to 1048576.");
  out.output = fields.string("output");
  out.metadata = fields.dictionary("metadata");
  out.threads = fields.integer("threads");
  return out;
}

GaussianScoresOptions read_gaussian_scores_options(const Napi::Value& value) {
  const Fields fields(value, "");
  GaussianScoresOptions out;
  out.statistics = fields.string("statistics");
  out.sets = fields.list(
      "sets", [](const Napi::Value& item, const std::string& where) { return Fields::strings(item, where); });
  out.stages = fields.strings("stages");
  out.threads = fields.integer("threads");
  return out;
}

PerturbedGaussiansOptions read_perturbed_gaussians_options(const Napi::Value& value) {
  const Fields fields(value, "");
  PerturbedGaussiansOptions out;
  out.members = fields.list("members", [](const Napi::Value& item, const std::string& where) {
    const Fields member(item, where);
    return GaussianMember{arch(member.object("arch")), member.string("checkpoint")};
  });
  out.statistics = fields.string("statistics");
  out.data = open_data_of(fields.value("data"), "data");
  out.transform = transform(fields.object("transform"));
  out.first = at_least(fields, "first", 0);
  out.count = at_least(fields, "count", 0);
  out.magnitudes = fields.numbers("magnitudes");
  if (!fields.value("adversarial").IsNull()) {
    const Fields adversarial = fields.object("adversarial");
    out.adversarial = Adversarial{adversarial.number("step"), adversarial.string("clamp")};
  }
  out.batchSize = fields.integer("batchSize");
  out.device = fields.string("device");
  out.precision = fields.string("precision");
  out.threads = fields.integer("threads");
  out.workers = fields.integer("workers");
  out.output = fields.string("output");
  out.metadata = fields.dictionary("metadata");
  return out;
}

}  // namespace mode_ensemble::addon
