// What lib/native/contract.ts says of data sets.
#include "addon/job.h"
#include "addon/napi_env.h"
#include "addon/options.h"
#include "addon/values.h"
#include "data/load_pass.h"
#include "data/verify.h"

namespace mode_ensemble::addon {
namespace {

Napi::Value open_data(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call),
                   [options = read_open_data_options(call[0])](JobContext& context) {
                     auto reader = open_reader(options, [&](int64_t done, int64_t total) {
                       context.throw_if_aborted();
                       context.report(Progress{"open", done, total, 0});
                     });
                     auto data = std::make_shared<DataSet>();
                     data->reader = std::move(reader);
                     data->skipBadImages = options.skipBadImages;
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
      out["bad"] = bad_images(env, result.bad);
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
  PrepareOptions options;
  options.transform = transform;
  options.type = PixelType::uint8;
  if (call[3].IsObject()) options.box = read_region(call[3], "box");
  if (call[4].IsString() && call[4].As<Napi::String>().Utf8Value() == "fast")
    options.decode = DecodeMode::fast;
  const Preparation preparation(options, nullptr);
  Workspace space;
  auto pixels = Napi::Uint8Array::New(env, preparation.bytes());
  preparation.run(*data->reader, index, space, pixels.Data());
  const PixelView& ready = space.sample.pixels;
  auto out = Napi::Object::New(env);
  out["pixels"] = pixels;
  out["label"] = static_cast<double>(data->reader->label(index));
  out["name"] = data->reader->name(index);
  out["width"] = ready.data ? ready.width : space.part.width;
  out["height"] = ready.data ? ready.height : space.part.height;
  return out;
}

Napi::Value load_pass_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call),
                   [options = read_load_pass_options(call[0])](JobContext& context) {
                     return ResultMaker([result = load_pass(options, context)](Napi::Env env) -> Napi::Value {
                       auto out = Napi::Object::New(env);
                       out["count"] = static_cast<double>(result.count);
                       out["skippedCount"] = static_cast<double>(result.skippedCount);
                       out["skipped"] = bad_images(env, result.skipped);
                       out["seconds"] = result.seconds;
                       out["waitSeconds"] = result.waitSeconds;
                       out["fetchSeconds"] = result.times.fetch;
                       out["decodeSeconds"] = result.times.decode;
                       out["resizeSeconds"] = result.times.resize;
                       out["convertSeconds"] = result.times.convert;
                       out["sha256"] = result.sha256;
                       return out;
                     });
                   });
}

Napi::Value hash_pixels_job(const Napi::CallbackInfo& call) {
  const auto options = read_hash_pixels_options(call[0]);
  return start_job(call.Env(), sink_of(call), [options](JobContext& context) {
    auto hashes = hash_pixels(options.data, options.transform, options.workers, context);
    return ResultMaker([hashes = std::move(hashes)](Napi::Env env) -> Napi::Value {
      auto array = Napi::Uint32Array::New(env, hashes.size());
      std::copy(hashes.begin(), hashes.end(), array.Data());
      auto out = Napi::Object::New(env);
      out["hashes"] = array;
      return out;
    });
  });
}

Napi::Value random_boxes(const Napi::CallbackInfo& call) {
  const auto options = read_random_boxes_options(call[0]);
  auto out = Napi::Int32Array::New(call.Env(), static_cast<size_t>(4 * options.count));
  int32_t* to = out.Data();
  for (int64_t i = 0; i < options.count; ++i, to += 4) {
    auto random =
        augment_stream(static_cast<uint64_t>(options.seed), static_cast<uint64_t>(options.epoch), i);
    const Region box = random_box(options.augment, static_cast<int>(options.width),
                                  static_cast<int>(options.height), random);
    to[0] = box.left, to[1] = box.top, to[2] = box.width, to[3] = box.height;
  }
  return out;
}

}  // namespace

void add_data_exports(Napi::Env env, Napi::Object exports) {
  exports["openData"] = Napi::Function::New<guarded<open_data>>(env, "openData");
  exports["disposeData"] = Napi::Function::New<guarded<dispose_data>>(env, "disposeData");
  exports["verifyData"] = Napi::Function::New<guarded<verify_job>>(env, "verifyData");
  exports["readImage"] = Napi::Function::New<guarded<read_image>>(env, "readImage");
  exports["loadPass"] = Napi::Function::New<guarded<load_pass_job>>(env, "loadPass");
  exports["hashPixels"] = Napi::Function::New<guarded<hash_pixels_job>>(env, "hashPixels");
  exports["randomBoxes"] = Napi::Function::New<guarded<random_boxes>>(env, "randomBoxes");
}

}  // namespace mode_ensemble::addon
