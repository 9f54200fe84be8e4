// The exports of lib/native/contract.ts.
#include <cstdio>
// clang-format off: jpeglib.h uses FILE and size_t without including them, so it comes after cstdio.
#include <jpeglib.h>
#include <png.h>
// clang-format on

#include "addon/job.h"
#include "addon/napi_env.h"
#include "addon/options.h"
#include "models/registry.h"
#include "runtime/device.h"
#include "runtime/failure.h"

namespace mode_ensemble::addon {
namespace {

template <typename Items, typename Convert>
Napi::Array to_array(Napi::Env env, const Items& items, Convert convert) {
  auto array = Napi::Array::New(env, items.size());
  uint32_t i = 0;
  for (const auto& item : items) array.Set(i++, convert(item));
  return array;
}

Napi::Array strings(Napi::Env env, const std::vector<std::string>& items) {
  return to_array(env, items, [&](const std::string& s) { return Napi::String::New(env, s); });
}

template <typename Items>
Napi::Array numbers(Napi::Env env, const Items& items) {
  return to_array(env, items, [&](auto n) { return Napi::Number::New(env, static_cast<double>(n)); });
}

// Every export goes through here: no C++ exception other than Napi::Error leaves the addon.
template <Napi::Value (*Body)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  try {
    return Body(info);
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    const Error failure = current_failure();
    throw make_error(info.Env(), failure.code(), failure.what());
  }
}

Napi::Function sink_of(const Napi::CallbackInfo& info) {
  if (!info[1].IsFunction()) throw Error(ErrorCode::config, "sink: expected a function.");
  return info[1].As<Napi::Function>();
}

Napi::Value info(const Napi::CallbackInfo& call) {
  const auto env = call.Env();
  const auto runtime = runtime_info();
  auto out = Napi::Object::New(env);
  out["version"] = MODE_ENSEMBLE_VERSION;
  out["libtorch"] = runtime.libtorch;
  out["cpuCapability"] = runtime.cpuCapability;
  out["cuda"] = runtime.cuda;
  out["devices"] = strings(env, runtime.devices);
  out["compiler"] = runtime.compiler;
  out["config"] = runtime.config;
#ifdef LIBJPEG_TURBO_VERSION
#define ME_TEXT_(x) #x
#define ME_TEXT(x) ME_TEXT_(x)
  out["libjpeg"] = "libjpeg-turbo " ME_TEXT(LIBJPEG_TURBO_VERSION);
#else
  out["libjpeg"] = "libjpeg " + std::to_string(JPEG_LIB_VERSION);
#endif
  out["libpng"] = PNG_LIBPNG_VER_STRING;
  out["builtinSets"] = strings(env, builtin_set_names());
  return out;
}

Napi::Object transform_object(Napi::Env env, const TransformOptions& transform) {
  auto out = Napi::Object::New(env);
  out["resize"] = static_cast<double>(transform.resize);
  out["fit"] = transform.fit;
  out["filter"] = transform.filter;
  out["crop"] = static_cast<double>(transform.crop);
  out["mean"] = numbers(env, transform.mean);
  out["std"] = numbers(env, transform.std);
  return out;
}

Napi::Object architecture_object(Napi::Env env, const ArchitectureInfo& arch) {
  auto out = Napi::Object::New(env);
  out["name"] = arch.name;
  out["aliases"] = strings(env, arch.aliases);
  out["family"] = arch.family;
  out["width"] = static_cast<double>(arch.width);
  out["widthStep"] = static_cast<double>(arch.widthStep);
  out["dropout"] = arch.dropout;
  out["hasDropout"] = arch.hasDropout;
  out["classes"] = static_cast<double>(arch.classes);
  out["stages"] = numbers(env, arch.stages);
  out["transform"] = transform_object(env, arch.transform);
  return out;
}

Napi::Value list_architectures(const Napi::CallbackInfo& call) {
  const auto env = call.Env();
  return to_array(env, architectures(),
                  [&](const ArchitectureInfo& arch) { return architecture_object(env, arch); });
}

Napi::Value find_architecture_by_name(const Napi::CallbackInfo& call) {
  if (!call[0].IsString()) throw Error(ErrorCode::config, "name: expected a string.");
  const auto found = find_architecture(call[0].As<Napi::String>().Utf8Value());
  return found ? architecture_object(call.Env(), *found) : call.Env().Null();
}

Napi::Value measure_architecture(const Napi::CallbackInfo& call) {
  const auto size = measure_network(read_arch_options(call[0]));
  auto out = Napi::Object::New(call.Env());
  out["parameters"] = static_cast<double>(size.parameters);
  out["tensors"] = static_cast<double>(size.tensors);
  return out;
}

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
  Image image, sized;
  data->reader->read(index, image);
  apply_transform(image, transform, data->reader->name(index), sized);
  auto pixels = Napi::Uint8Array::New(env, sized.pixels.size());
  std::copy(sized.pixels.begin(), sized.pixels.end(), pixels.Data());
  auto out = Napi::Object::New(env);
  out["pixels"] = pixels;
  out["label"] = static_cast<double>(data->reader->label(index));
  out["name"] = data->reader->name(index);
  return out;
}

Napi::Value train_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_train_options(call[0])](JobContext& context) {
    return ResultMaker([result = train(options, context)](Napi::Env env) -> Napi::Value {
      auto out = Napi::Object::New(env);
      out["loss"] = result.loss;
      out["accuracy"] = result.accuracy;
      out["seconds"] = result.seconds;
      out["imagesPerSecond"] = result.imagesPerSecond;
      return out;
    });
  });
}

Napi::Value extract_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_extract_options(call[0])](JobContext& context) {
    return ResultMaker([result = extract(options, context)](Napi::Env env) -> Napi::Value {
      auto out = Napi::Object::New(env);
      out["count"] = static_cast<double>(result.count);
      out["skipped"] = strings(env, result.skipped);
      out["skippedCount"] = static_cast<double>(result.skippedCount);
      out["seconds"] = result.seconds;
      return out;
    });
  });
}

Napi::Value neighbours_job(const Napi::CallbackInfo& call) {
  return start_job(
      call.Env(), sink_of(call), [options = read_neighbours_options(call[0])](JobContext& context) {
        return ResultMaker([result = neighbours(options, context)](Napi::Env env) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out["distances"] = to_array(env, result.distances, [&](const std::vector<float>& set) {
            auto array = Napi::Float32Array::New(env, set.size());
            std::copy(set.begin(), set.end(), array.Data());
            return array;
          });
          return out;
        });
      });
}

Napi::Value init_weights_job(const Napi::CallbackInfo& call) {
  return start_job(
      call.Env(), sink_of(call), [options = read_init_weights_options(call[0])](JobContext& context) {
        return ResultMaker([result = init_weights(options, context)](Napi::Env env) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out["tensors"] = static_cast<double>(result.tensors);
          out["parameters"] = static_cast<double>(result.parameters);
          return out;
        });
      });
}

Napi::Value trace_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_trace_options(call[0])](JobContext& context) {
    return ResultMaker([result = trace(options, context)](Napi::Env env) -> Napi::Value {
      auto out = Napi::Object::New(env);
      out["tensors"] = static_cast<double>(result.tensors);
      out["parameters"] = static_cast<double>(result.parameters);
      out["withoutGradient"] = strings(env, result.withoutGradient);
      return out;
    });
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  end_jobs_at_exit(env);
  exports["info"] = Napi::Function::New<guarded<info>>(env, "info");
  exports["architectures"] = Napi::Function::New<guarded<list_architectures>>(env, "architectures");
  exports["findArchitecture"] =
      Napi::Function::New<guarded<find_architecture_by_name>>(env, "findArchitecture");
  exports["measureArchitecture"] =
      Napi::Function::New<guarded<measure_architecture>>(env, "measureArchitecture");
  exports["openData"] = Napi::Function::New<guarded<open_data>>(env, "openData");
  exports["disposeData"] = Napi::Function::New<guarded<dispose_data>>(env, "disposeData");
  exports["readImage"] = Napi::Function::New<guarded<read_image>>(env, "readImage");
  exports["train"] = Napi::Function::New<guarded<train_job>>(env, "train");
  exports["extract"] = Napi::Function::New<guarded<extract_job>>(env, "extract");
  exports["neighbours"] = Napi::Function::New<guarded<neighbours_job>>(env, "neighbours");
  exports["initWeights"] = Napi::Function::New<guarded<init_weights_job>>(env, "initWeights");
  exports["trace"] = Napi::Function::New<guarded<trace_job>>(env, "trace");
  return exports;
}

}  // namespace

NODE_API_MODULE(mode_ensemble, init)

}  // namespace mode_ensemble::addon
