// What a speed is set against: operations of a network, and the speed of a matrix product.
#include "addon/fields.h"
#include "addon/options.h"
#include "addon/values.h"
#include "linalg/gemm_peak.h"
#include "models/operations.h"

namespace mode_ensemble::addon {
namespace {

CountOperationsOptions read_count_operations_options(const Napi::Value& value) {
  const Fields fields(value, "");
  return {arch(fields.object("arch")), at_least(fields, "size", 1)};
}

GemmPeakOptions read_gemm_peak_options(const Napi::Value& value) {
  const Fields fields(value, "");
  return {at_least(fields, "size", 1), fields.string("precision"), fields.integer("threads"),
          fields.number("seconds")};
}

Napi::Value count_operations_job(const Napi::CallbackInfo& call) {
  return start_job(
      call.Env(), sink_of(call), [options = read_count_operations_options(call[0])](JobContext& context) {
        return ResultMaker([count = count_operations(options, context)](Napi::Env env) -> Napi::Value {
          return Napi::Number::New(env, static_cast<double>(count));
        });
      });
}

Napi::Value gemm_peak_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call),
                   [options = read_gemm_peak_options(call[0])](JobContext& context) {
                     return ResultMaker([speed = gemm_peak(options, context)](Napi::Env env) -> Napi::Value {
                       return Napi::Number::New(env, speed);
                     });
                   });
}

}  // namespace

void add_bench_exports(Napi::Env env, Napi::Object exports) {
  exports["countOperations"] = Napi::Function::New<guarded<count_operations_job>>(env, "countOperations");
  exports["gemmPeak"] = Napi::Function::New<guarded<gemm_peak_job>>(env, "gemmPeak");
}

}  // namespace mode_ensemble::addon
