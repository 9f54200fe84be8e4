// What lib/native/contract-processes.ts says, locks against other processes, work together with them; and
// what this process keeps from job to job.
#include "addon/fields.h"
#include "addon/options.h"
#include "addon/values.h"
#include "extract/ready_networks.h"
#include "ranks/ranks.h"
#include "runtime/file_lock.h"

namespace mode_ensemble::addon {
namespace {

constexpr napi_type_tag kRanksTag{0x6d6f64652d656e73ull, 0x656d626c652d726bull};

struct RanksHolder {
  std::shared_ptr<Ranks> ranks;
};

RanksHolder& holder_of(const Napi::Value& value, const std::string& field) {
  if (value.IsExternal()) {
    const auto external = value.As<Napi::External<RanksHolder>>();
    if (external.CheckTypeTag(&kRanksTag)) return *external.Data();
  }
  wrong(field, "a handle of ranks", value);
}

JoinOptions read_join_options(const Napi::Value& value) {
  const Fields fields(value, "");
  JoinOptions out;
  out.kind = one_of(fields, "kind", {"tcp", "mpi"});
  out.rank = at_least(fields, "rank", 0);
  out.size = at_least(fields, "size", 1);
  out.address = fields.string("address");
  out.port = at_least(fields, "port", 0);
  out.prefix = fields.string("prefix");
  out.agent = fields.boolean("agent");
  if (out.port > 65535)
    throw Error(ErrorCode::config, "port: expected 0 to 65535, found " + std::to_string(out.port) + ".");
  return out;
}

Napi::Value join_job(const Napi::CallbackInfo& call) {
  return start_job(call.Env(), sink_of(call), [options = read_join_options(call[0])](JobContext&) {
    return ResultMaker([ranks = join_ranks(options)](Napi::Env env) -> Napi::Value {
      auto handle = Napi::External<RanksHolder>::New(env, new RanksHolder{ranks},
                                                     [](Napi::Env, RanksHolder* holder) { delete holder; });
      handle.TypeTag(&kRanksTag);
      auto out = Napi::Object::New(env);
      out["rank"] = static_cast<double>(ranks->rank());
      out["size"] = static_cast<double>(ranks->size());
      out["handle"] = handle;
      return out;
    });
  });
}

Napi::Value share_job(const Napi::CallbackInfo& call) {
  const Fields fields(call[0], "");
  return start_job(
      call.Env(), sink_of(call),
      [ranks = ranks_of(fields.value("ranks"), "ranks"), text = fields.string("text")](JobContext&) {
        return ResultMaker([shared = share_text(*ranks, text)](Napi::Env env) -> Napi::Value {
          return Napi::String::New(env, shared);
        });
      });
}

Napi::Value leave(const Napi::CallbackInfo& call) {
  holder_of(call[0], "handle").ranks.reset();
  return call.Env().Undefined();
}

// Held until it is released, or until nothing in JavaScript refers to it.
Napi::Value lock_file(const Napi::CallbackInfo& call) {
  const auto env = call.Env();
  if (!call[0].IsString()) throw Error(ErrorCode::config, "path: expected a string.");
  auto held = std::make_shared<std::unique_ptr<FileLock>>(
      std::make_unique<FileLock>(call[0].As<Napi::String>().Utf8Value()));
  auto out = Napi::Object::New(env);
  out["release"] = Napi::Function::New(env, [held](const Napi::CallbackInfo&) { held->reset(); }, "release");
  return out;
}

// As long as a lock is held.
Napi::Value keep_between_jobs(const Napi::CallbackInfo& call) {
  const auto env = call.Env();
  auto kept = std::make_shared<std::unique_ptr<BetweenJobs>>(std::make_unique<BetweenJobs>());
  auto out = Napi::Object::New(env);
  out["release"] = Napi::Function::New(env, [kept](const Napi::CallbackInfo&) { kept->reset(); }, "release");
  return out;
}

}  // namespace

std::shared_ptr<Ranks> ranks_of(const Napi::Value& value, const std::string& field) {
  if (value.IsNull()) return one_rank();
  const auto& holder = holder_of(value, field);
  if (!holder.ranks) throw Error(ErrorCode::config, field + ": these ranks were left.");
  return holder.ranks;
}

void add_process_exports(Napi::Env env, Napi::Object exports) {
  exports["lockFile"] = Napi::Function::New<guarded<lock_file>>(env, "lockFile");
  exports["keepBetweenJobs"] = Napi::Function::New<guarded<keep_between_jobs>>(env, "keepBetweenJobs");
  exports["joinRanks"] = Napi::Function::New<guarded<join_job>>(env, "joinRanks");
  exports["shareText"] = Napi::Function::New<guarded<share_job>>(env, "shareText");
  exports["leaveRanks"] = Napi::Function::New<guarded<leave>>(env, "leaveRanks");
}

}  // namespace mode_ensemble::addon
