// Values into JavaScript, and what every export goes through.
#pragma once
#include <string>
#include <vector>

#include "addon/job.h"
#include "addon/napi_env.h"
#include "data/loader.h"
#include "runtime/failure.h"

namespace mode_ensemble::addon {

template <typename Items, typename Convert>
Napi::Array to_array(Napi::Env env, const Items& items, Convert convert) {
  auto array = Napi::Array::New(env, items.size());
  uint32_t i = 0;
  for (const auto& item : items) array.Set(i++, convert(item));
  return array;
}

inline Napi::Array strings(Napi::Env env, const std::vector<std::string>& items) {
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

inline Napi::Function sink_of(const Napi::CallbackInfo& info) {
  if (!info[1].IsFunction()) throw Error(ErrorCode::config, "sink: expected a function.");
  return info[1].As<Napi::Function>();
}

// Where a set's bad images are listed: {name, reason}.
inline Napi::Array bad_images(Napi::Env env, const std::vector<BadImage>& images) {
  return to_array(env, images, [&](const BadImage& image) {
    auto out = Napi::Object::New(env);
    out["name"] = image.name;
    out["reason"] = image.reason;
    return out;
  });
}

// Exports of each room, added to the module by init().
void add_data_exports(Napi::Env env, Napi::Object exports);
void add_augment_exports(Napi::Env env, Napi::Object exports);
void add_process_exports(Napi::Env env, Napi::Object exports);
void add_landscape_exports(Napi::Env env, Napi::Object exports);
void add_device_exports(Napi::Env env, Napi::Object exports);
void add_bench_exports(Napi::Env env, Napi::Object exports);

}  // namespace mode_ensemble::addon
