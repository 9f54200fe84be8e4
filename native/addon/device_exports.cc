// Whether a GPU gives what the CPU gives.
#include "addon/fields.h"
#include "addon/options.h"
#include "addon/values.h"
#include "cuda/self_check.h"

namespace mode_ensemble::addon {
namespace {

CheckDeviceOptions read_check_device_options(const Napi::Value& value) {
  const Fields fields(value, "");
  CheckDeviceOptions out;
  out.device = fields.string("device");
  out.data = open_data_of(fields.value("data"), "data");
  out.transform = transform(fields.object("transform"));
  out.augment = augment(fields.object("augment"));
  out.batchSize = at_least(fields, "batchSize", 1);
  out.threads = fields.integer("threads");
  out.workers = at_least(fields, "workers", 1);
  return out;
}

Napi::Value check_device_job(const Napi::CallbackInfo& call) {
  return start_job(
      call.Env(), sink_of(call), [options = read_check_device_options(call[0])](JobContext& context) {
        return ResultMaker([checks = check_device(options, context)](Napi::Env env) -> Napi::Value {
          return to_array(env, checks, [&](const DeviceCheck& check) -> Napi::Value {
            auto out = Napi::Object::New(env);
            out["name"] = check.name;
            out["passed"] = check.passed;
            out["found"] = check.found;
            return out;
          });
        });
      });
}

}  // namespace

void add_device_exports(Napi::Env env, Napi::Object exports) {
  exports["checkDevice"] = Napi::Function::New<guarded<check_device_job>>(env, "checkDevice");
}

}  // namespace mode_ensemble::addon
