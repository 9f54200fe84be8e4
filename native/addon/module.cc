// The exports of lib/native/contract.ts.
#include <cstdio>
// clang-format off: jpeglib.h uses FILE and size_t without including them, so it comes after cstdio.
#include <jpeglib.h>
#include <png.h>
// clang-format on

#include "addon/job.h"
#include "addon/napi_env.h"
#include "addon/options.h"
#include "addon/values.h"
#include "models/registry.h"
#include "runtime/device.h"

namespace mode_ensemble::addon {
namespace {

Napi::Value info(const Napi::CallbackInfo& call) {
  const auto env = call.Env();
  const auto runtime = runtime_info();
  auto out = Napi::Object::New(env);
  out["version"] = MODE_ENSEMBLE_VERSION;
  out["libtorch"] = runtime.libtorch;
  out["cpuCapability"] = runtime.cpuCapability;
  out["cuda"] = runtime.cuda;
  out["devices"] = strings(env, runtime.devices);
  out["gpus"] = strings(env, runtime.gpus);
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

Napi::Value train_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_train_options(call[0])](JobContext& context) {
    return ResultMaker([result = train(options, context)](Napi::Env env) -> Napi::Value {
      auto out = Napi::Object::New(env);
      out["loss"] = result.loss;
      out["accuracy"] = result.accuracy;
      out["top5"] = result.top5;
      out["testLoss"] = result.testLoss;
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
      out["skipped"] = bad_images(env, result.skipped);
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
          auto search = Napi::Object::New(env);
          search["width"] = static_cast<double>(result.width);
          search["pairs"] = static_cast<double>(result.pairs);
          search["passed"] = static_cast<double>(result.passed);
          search["computed"] = static_cast<double>(result.computed);
          out["search"] = search;
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

Napi::Value convert_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_convert_options(call[0])](JobContext& context) {
    return ResultMaker([result = convert(options, context)](Napi::Env env) -> Napi::Value {
      auto out = Napi::Object::New(env);
      out["tensors"] = static_cast<double>(result.tensors);
      out["bytes"] = static_cast<double>(result.bytes);
      return out;
    });
  });
}

Napi::Object inspection_object(Napi::Env env, const Inspection& inspection) {
  const auto& checkpoint = *inspection.checkpoint;
  auto out = Napi::Object::New(env);
  out["format"] = checkpoint.format();
  out["problem"] = inspection.problem;
  out["tensors"] = to_array(env, checkpoint.tensors(), [&](const TensorInfo& tensor) {
    auto item = Napi::Object::New(env);
    item["name"] = tensor.name;
    item["dtype"] = dtype_name(tensor.dtype);
    item["shape"] = numbers(env, tensor.shape);
    return item;
  });
  auto metadata = Napi::Object::New(env);
  for (const auto& [key, value] : checkpoint.metadata()) metadata.Set(key, value);
  out["metadata"] = metadata;
  out["values"] = to_array(env, checkpoint.values(),
                           [&](const auto& value) { return strings(env, {value.first, value.second}); });
  const bool has_weights = inspection.problem.empty();
  out["weightsIn"] = has_weights ? checkpoint.weights_in() : "";
  out["weights"] = static_cast<double>(has_weights ? checkpoint.weights().size() : 0);
  out["fits"] = env.Null();
  if (inspection.fits) {
    auto fits = Napi::Object::New(env);
    fits["name"] = inspection.fits->name;
    fits["width"] = static_cast<double>(inspection.fits->width);
    fits["classes"] = static_cast<double>(inspection.fits->classes);
    out["fits"] = fits;
  }
  return out;
}

Napi::Value inspect_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_inspect_options(call[0])](JobContext& context) {
    return ResultMaker([result = inspect(options, context)](Napi::Env env) -> Napi::Value {
      return inspection_object(env, result);
    });
  });
}

Napi::Value probe_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_probe_options(call[0])](JobContext& context) {
    return ResultMaker([result = probe(options, context)](Napi::Env env) -> Napi::Value {
      auto out = Napi::Object::New(env);
      out["classes"] = static_cast<double>(result.classes);
      out["penultimate"] = static_cast<double>(result.penultimate);
      out["stages"] = static_cast<double>(result.stages);
      out["seconds"] = result.seconds;
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

Napi::Value fit_gaussians_job(const Napi::CallbackInfo& call) {
  return start_job(
      call.Env(), sink_of(call), [options = read_fit_gaussians_options(call[0])](JobContext& context) {
        return ResultMaker([result = fit_gaussians(options, context)](Napi::Env env) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out["stages"] = to_array(env, result.stages, [&](const GaussianFit& fit) {
            auto item = Napi::Object::New(env);
            item["stage"] = fit.stage;
            item["width"] = static_cast<double>(fit.width);
            item["rank"] = static_cast<double>(fit.rank);
            item["condition"] = fit.condition;
            return item;
          });
          return out;
        });
      });
}

Napi::Value gaussian_scores_job(const Napi::CallbackInfo& call) {
  return start_job(
      call.Env(), sink_of(call), [options = read_gaussian_scores_options(call[0])](JobContext& context) {
        return ResultMaker([result = gaussian_scores(options, context)](Napi::Env env) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out["scores"] = to_array(env, result.scores, [&](const std::vector<double>& set) {
            auto array = Napi::Float64Array::New(env, set.size());
            std::copy(set.begin(), set.end(), array.Data());
            return array;
          });
          return out;
        });
      });
}

Napi::Value perturbed_gaussians_job(const Napi::CallbackInfo& call) {
  return start_job(
      call.Env(), sink_of(call), [options = read_perturbed_gaussians_options(call[0])](JobContext& context) {
        return ResultMaker([result = perturbed_gaussians(options, context)](Napi::Env env) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out["count"] = static_cast<double>(result.count);
          out["seconds"] = result.seconds;
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
  add_data_exports(env, exports);
  add_augment_exports(env, exports);
  add_process_exports(env, exports);
  add_landscape_exports(env, exports);
  add_device_exports(env, exports);
  add_bench_exports(env, exports);
  exports["train"] = Napi::Function::New<guarded<train_job>>(env, "train");
  exports["extract"] = Napi::Function::New<guarded<extract_job>>(env, "extract");
  exports["neighbours"] = Napi::Function::New<guarded<neighbours_job>>(env, "neighbours");
  exports["initWeights"] = Napi::Function::New<guarded<init_weights_job>>(env, "initWeights");
  exports["convert"] = Napi::Function::New<guarded<convert_job>>(env, "convert");
  exports["inspectCheckpoint"] = Napi::Function::New<guarded<inspect_job>>(env, "inspectCheckpoint");
  exports["probe"] = Napi::Function::New<guarded<probe_job>>(env, "probe");
  exports["trace"] = Napi::Function::New<guarded<trace_job>>(env, "trace");
  exports["fitGaussians"] = Napi::Function::New<guarded<fit_gaussians_job>>(env, "fitGaussians");
  exports["gaussianScores"] = Napi::Function::New<guarded<gaussian_scores_job>>(env, "gaussianScores");
  exports["perturbedGaussians"] =
      Napi::Function::New<guarded<perturbed_gaussians_job>>(env, "perturbedGaussians");
  return exports;
}

}  // namespace

NODE_API_MODULE(mode_ensemble, init)

}  // namespace mode_ensemble::addon
