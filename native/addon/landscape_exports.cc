// What lib/native/contract-landscape.ts says: losses at points of weight space, and curves between modes.
#include "addon/fields.h"
#include "addon/options.h"
#include "addon/values.h"

namespace mode_ensemble::addon {
namespace {

StatisticsOptions statistics(const Fields& fields) {
  StatisticsOptions out;
  out.train = open_data_of(fields.value("train"), fields.at("train"));
  if (!fields.value("augment").IsNull()) out.augment = augment(fields.object("augment"));
  out.images = at_least(fields, "images", 0);
  out.batchSize = at_least(fields, "batchSize", 1);
  return out;
}

Napi::Value surface_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_surface_options(call[0])](JobContext& context) {
    return ResultMaker([result = surface(options, context)](Napi::Env env) -> Napi::Value {
      auto out = Napi::Object::New(env);
      out["counts"] = numbers(env, result.counts);
      out["skipped"] = numbers(env, result.skipped);
      out["seconds"] = result.seconds;
      return out;
    });
  });
}

Napi::Value weight_products_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_weight_products_options(call[0])](JobContext&) {
    return ResultMaker(
        [result = weight_products(options)](Napi::Env env) -> Napi::Value { return numbers(env, result); });
  });
}

Napi::Value train_curve_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_curve_options(call[0])](JobContext& context) {
    return ResultMaker([result = train_curve(options, context)](Napi::Env env) -> Napi::Value {
      auto out = Napi::Object::New(env);
      out["loss"] = result.loss;
      out["accuracy"] = result.accuracy;
      out["seconds"] = result.seconds;
      return out;
    });
  });
}

}  // namespace

SurfaceOptions read_surface_options(const Napi::Value& value) {
  const Fields fields(value, "");
  SurfaceOptions out;
  out.arch = arch(fields.object("arch"));
  out.checkpoints = fields.strings("checkpoints");
  out.directions = at_least(fields, "directions", 0);
  out.directionsOutput = fields.string("directionsOutput");
  out.seed = at_least(fields, "seed", 0);
  out.sets = fields.list("sets", [](const Napi::Value& item, const std::string& where) {
    const Fields set(item, where);
    return SurfaceSet{open_data_of(set.value("data"), set.at("data")), at_least(set, "images", 0),
                      set.string("labels")};
  });
  out.transform = transform(fields.object("transform"));
  out.coefficients = fields.numbers("coefficients");
  out.labelsAt = fields.numbers("labelsAt");
  if (!fields.value("statistics").IsNull()) out.statistics = statistics(fields.object("statistics"));
  out.batchSize = at_least(fields, "batchSize", 1);
  out.precision = fields.string("precision");
  out.memory = at_least(fields, "memory", 0);
  out.frozen = fields.boolean("frozen");
  out.threads = at_least(fields, "threads", 1);
  out.workers = at_least(fields, "workers", 1);
  return out;
}

WeightProductsOptions read_weight_products_options(const Napi::Value& value) {
  const Fields fields(value, "");
  return {arch(fields.object("arch")), fields.strings("checkpoints")};
}

CurveOptions read_curve_options(const Napi::Value& value) {
  const Fields fields(value, "");
  CurveOptions out;
  const auto ends = fields.strings("ends");
  if (ends.size() != 2)
    throw Error(ErrorCode::config,
                "ends: expected two checkpoints, found " + std::to_string(ends.size()) + ".");
  out.ends = {ends[0], ends[1]};
  out.kind = one_of(fields, "kind", {"bezier", "chain"});
  out.training = training(fields);
  out.statistics = statistics(fields.object("statistics"));
  out.memory = at_least(fields, "memory", 0);
  return out;
}

void add_landscape_exports(Napi::Env env, Napi::Object exports) {
  exports["surface"] = Napi::Function::New<guarded<surface_job>>(env, "surface");
  exports["weightProducts"] = Napi::Function::New<guarded<weight_products_job>>(env, "weightProducts");
  exports["trainCurve"] = Napi::Function::New<guarded<train_curve_job>>(env, "trainCurve");
}

}  // namespace mode_ensemble::addon
