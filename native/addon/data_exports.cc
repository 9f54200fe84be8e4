// What lib/native/contract.ts says of data sets.
#include "addon/job.h"
#include "addon/napi_env.h"
#include "addon/options.h"
#include "addon/values.h"
#include "data/decode.h"
#include "data/verify.h"

namespace mode_ensemble::addon {
namespace {

Napi::Value open_data(const Napi::CallbackInfo& call) {
  return start_job(
      call.Env(), sink_of(call), [options = read_open_data_options(call[0])](JobContext& context) {
        auto reader = open_reader(options, [&](int64_t done, int64_t total) {
          context.throw_if_aborted();
          context.report(Progress{"open", done, total, 0});
        });
        auto data = std::make_shared<const DataSet>(DataSet{std::move(reader), options.skipBadImages});
        return ResultMaker([data](Napi::Env env) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out["count"] = static_cast<double>(data->reader->size());
          out["classes"] = strings(env, data->reader->class_names());
          out["fingerprint"] = data->reader->fingerprint();
          out["handle"] = make_data_handle(env, data);
          return out;
        });
      });
}

Napi::Value verify_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_verify_options(call[0])](JobContext& context) {
    return ResultMaker([result = verify_data(options, context)](Napi::Env env) -> Napi::Value {
      auto out = Napi::Object::New(env);
      out["count"] = static_cast<double>(result.count);
      out["badCount"] = static_cast<double>(result.badCount);
      out["bad"] = to_array(env, result.bad, [&](const BadImage& bad) {
        auto item = Napi::Object::New(env);
        item["name"] = bad.name;
        item["reason"] = bad.reason;
        return item;
      });
      out["bytes"] = static_cast<double>(result.bytes);
      out["minWidth"] = static_cast<double>(result.minWidth);
      out["maxWidth"] = static_cast<double>(result.maxWidth);
      out["minHeight"] = static_cast<double>(result.minHeight);
      out["maxHeight"] = static_cast<double>(result.maxHeight);
      out["seconds"] = result.seconds;
      return out;
    });
  });
}

Napi::Value dispose_data(const Napi::CallbackInfo& call) {
  auto* holder = data_holder(call[0]);
  if (!holder) throw Error(ErrorCode::config, "handle: expected a data handle.");
  holder->data.reset();
  return call.Env().Undefined();
}

Napi::Value read_image(const Napi::CallbackInfo& call) {
  const auto env = call.Env();
  const auto data = open_data_of(call[0], "handle");
  const int64_t index = call[1].As<Napi::Number>().Int64Value();
  const auto transform = read_transform_options(call[2]);
  if (index < 0 || index >= data->reader->size())
    throw Error(ErrorCode::config, "index: expected 0 to " + std::to_string(data->reader->size() - 1) +
                                       ", found " + std::to_string(index) + ".");
  const std::string name = data->reader->name(index);
  Sample sample;
  Image image, sized;
  data->reader->fetch(index, sample);
  apply_transform(pixels_of(name, sample, image), transform, name, sized);
  auto pixels = Napi::Uint8Array::New(env, sized.pixels.size());
  std::copy(sized.pixels.begin(), sized.pixels.end(), pixels.Data());
  auto out = Napi::Object::New(env);
  out["pixels"] = pixels;
  out["label"] = static_cast<double>(data->reader->label(index));
  out["name"] = name;
  return out;
}

}  // namespace

void add_data_exports(Napi::Env env, Napi::Object exports) {
  exports["openData"] = Napi::Function::New<guarded<open_data>>(env, "openData");
  exports["disposeData"] = Napi::Function::New<guarded<dispose_data>>(env, "disposeData");
  exports["verifyData"] = Napi::Function::New<guarded<verify_job>>(env, "verifyData");
  exports["readImage"] = Napi::Function::New<guarded<read_image>>(env, "readImage");
}

}  // namespace mode_ensemble::addon
