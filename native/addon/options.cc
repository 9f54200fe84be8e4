#include "addon/options.h"

#include <algorithm>
#include <cmath>

#include "addon/fields.h"

namespace mode_ensemble::addon {
namespace {

// Random 128 bits: tells our externals from anyone else's.
constexpr napi_type_tag kDataTag{0x6d6f64652d656e73ull, 0x656d626c65d474a1ull};

}  // namespace

Napi::Value make_data_handle(Napi::Env env, std::shared_ptr<const DataSet> data) {
  auto handle = Napi::External<DataHolder>::New(env, new DataHolder{std::move(data)},
                                                [](Napi::Env, DataHolder* holder) { delete holder; });
  handle.TypeTag(&kDataTag);
  return handle;
}

DataHolder* data_holder(const Napi::Value& value) {
  if (!value.IsExternal()) return nullptr;
  const auto external = value.As<Napi::External<DataHolder>>();
  return external.CheckTypeTag(&kDataTag) ? external.Data() : nullptr;
}

std::shared_ptr<const DataSet> open_data_of(const Napi::Value& value, const std::string& field) {
  const DataHolder* holder = data_holder(value);
  if (!holder) wrong(field, "a data handle", value);
  if (!holder->data) throw Error(ErrorCode::config, field + ": this data set has been disposed of.");
  return holder->data;
}

ArchOptions read_arch_options(const Napi::Value& value) { return arch(Fields(value, "")); }

TransformOptions read_transform_options(const Napi::Value& value) { return transform(Fields(value, "")); }

OpenDataOptions read_open_data_options(const Napi::Value& value) {
  const Fields fields(value, "");
  OpenDataOptions out;
  out.reader = fields.string("reader");
  out.path = fields.string("path");
  out.split = fields.string("split");
  out.labels = fields.string("labels");
  out.root = fields.string("root");
  out.cache = fields.string("cache");
  out.threads = fields.integer("threads");
  out.skipBadImages = fields.boolean("skipBadImages");
  return out;
}

Region read_region(const Napi::Value& value, const std::string& field) {
  const Fields fields(value, field);
  constexpr int64_t kMost = 1 << 30;
  const auto number = [&](const char* name, int64_t least) {
    return static_cast<int>(std::min(at_least(fields, name, least), kMost));
  };
  return {number("left", 0), number("top", 0), number("width", 1), number("height", 1)};
}

LoadPassOptions read_load_pass_options(const Napi::Value& value) {
  const Fields fields(value, "");
  LoadPassOptions out;
  out.data = open_data_of(fields.value("data"), "data");
  PrepareOptions& prepare = out.loader.prepare;
  prepare.transform = transform(fields.object("transform"));
  prepare.training = !fields.value("augment").IsNull();
  if (prepare.training) prepare.augment = augment(fields.object("augment"));
  prepare.decode =
      one_of(fields, "decode", {"exact", "fast"}) == "fast" ? DecodeMode::fast : DecodeMode::exact;
  const auto type = one_of(fields, "type", {"float32", "bfloat16", "uint8"});
  prepare.type = type == "float32"    ? PixelType::float32
                 : type == "bfloat16" ? PixelType::bfloat16
                                      : PixelType::uint8;
  SamplerOptions& sampler = out.loader.sampler;
  sampler.shuffle = fields.boolean("shuffle");
  prepare.seed = sampler.seed = static_cast<uint64_t>(at_least(fields, "seed", 0));
  prepare.epoch = sampler.epoch = static_cast<uint64_t>(at_least(fields, "epoch", 0));
  sampler.ranks = at_least(fields, "ranks", 1);
  sampler.rank = at_least(fields, "rank", 0);
  if (sampler.rank >= sampler.ranks)
    throw Error(ErrorCode::config, "rank: expected less than ranks = " + std::to_string(sampler.ranks) +
                                       ", found " + std::to_string(sampler.rank) + ".");
  sampler.evenShards = fields.boolean("evenShards");
  out.loader.batchSize = at_least(fields, "batchSize", 1);
  out.loader.workers = at_least(fields, "workers", 1);
  out.loader.keepDecoded = static_cast<uint64_t>(at_least(fields, "keepDecoded", 0));
  out.passes = at_least(fields, "passes", 1);
  out.hash = fields.boolean("hash");
  return out;
}

HashPixelsOptions read_hash_pixels_options(const Napi::Value& value) {
  const Fields fields(value, "");
  return {open_data_of(fields.value("data"), "data"), transform(fields.object("transform")),
          at_least(fields, "workers", 1)};
}

RandomBoxesOptions read_random_boxes_options(const Napi::Value& value) {
  const Fields fields(value, "");
  RandomBoxesOptions out;
  out.width = at_least(fields, "width", 1);
  out.height = at_least(fields, "height", 1);
  out.seed = at_least(fields, "seed", 0);
  out.epoch = at_least(fields, "epoch", 0);
  out.count = at_least(fields, "count", 0);
  if (std::max(out.width, out.height) > 1 << 20 || out.count > 1 << 24)
    throw Error(ErrorCode::config, "width, height, count: too large.");
  out.augment.crop = "resized";
  out.augment.scale = range(fields, "scale", 1);
  out.augment.ratio = range(fields, "ratio", 1e6);
  return out;
}

VerifyOptions read_verify_options(const Napi::Value& value) {
  const Fields fields(value, "");
  return {open_data_of(fields.value("data"), "data"), fields.integer("threads")};
}

static ExtractOutput extract_output(const Napi::Value& value, const std::string& where) {
  const Fields fields(value, where);
  const Fields pass = fields.object("pass");
  return {
      {pass.string("kind"), pass.number("temperature"), pass.number("magnitude"), pass.string("gradient")},
      fields.string("path"),
      fields.string("storage"),
      fields.dictionary("metadata")};
}

static StageScoresOutput stage_scores_output(const Napi::Value& value, const std::string& where) {
  const Fields fields(value, where);
  return {fields.string("statistics"), fields.numbers("magnitudes"), fields.string("path"),
          fields.dictionary("metadata")};
}

ExtractOptions read_extract_options(const Napi::Value& value) {
  const Fields fields(value, "");
  ExtractOptions out;
  out.members = fields.list("members", [](const Napi::Value& item, const std::string& where) {
    const Fields member(item, where);
    return ExtractMember{arch(member.object("arch")), member.string("checkpoint"),
                         member.list("outputs", extract_output),
                         member.list("stageScores", stage_scores_output)};
  });
  out.data = open_data_of(fields.value("data"), "data");
  out.transform = transform(fields.object("transform"));
  out.batchSize = fields.integer("batchSize");
  out.device = fields.string("device");
  out.precision = fields.string("precision");
  out.threads = fields.integer("threads");
  out.workers = fields.integer("workers");
  return out;
}

NeighboursOptions read_neighbours_options(const Napi::Value& value) {
  const Fields fields(value, "");
  NeighboursOptions out;
  out.bank = fields.strings("bank");
  out.queries = fields.list("queries", [](const Napi::Value& item, const std::string& where) {
    return Fields::strings(item, where);
  });
  out.tensor = fields.string("tensor");
  out.k = fields.integer("k");
  out.threads = fields.integer("threads");
  out.memory = fields.integer("memory");
  return out;
}

InitWeightsOptions read_init_weights_options(const Napi::Value& value) {
  const Fields fields(value, "");
  return {arch(fields.object("arch")), fields.integer("seed"), fields.string("output"),
          fields.dictionary("metadata")};
}

ConvertOptions read_convert_options(const Napi::Value& value) {
  const Fields fields(value, "");
  ConvertOptions out;
  out.input = fields.string("input");
  out.output = fields.string("output");
  out.format = one_of(fields, "format", {"torch", "safetensors"});
  out.float32 = fields.boolean("float32");
  out.dictionary = fields.string("dictionary");
  out.metadata = fields.dictionary("metadata");
  if (!fields.value("arch").IsNull()) out.arch = arch(fields.object("arch"));
  return out;
}

InspectOptions read_inspect_options(const Napi::Value& value) {
  const Fields fields(value, "");
  return {fields.string("path"), fields.string("dictionary"), fields.boolean("identify")};
}

ProbeOptions read_probe_options(const Napi::Value& value) {
  const Fields fields(value, "");
  return {arch(fields.object("arch")), fields.string("checkpoint"), side(fields, "size")};
}

TraceOptions read_trace_options(const Napi::Value& value) {
  const Fields fields(value, "");
  return {arch(fields.object("arch")), fields.string("checkpoint"),
          fields.integer("seed"),      fields.string("input"),
          fields.string("output"),     one_of(fields, "precision", {"float32", "float64"}),
          fields.integer("threads")};
}

}  // namespace mode_ensemble::addon
