// Runs a body on its own thread and carries its news and its end to JavaScript.
#pragma once
#include <functional>

#include "addon/napi_env.h"
#include "runtime/context.h"

namespace mode_ensemble::addon {

// Makes the JavaScript result, on the JavaScript thread.
using ResultMaker = std::function<Napi::Value(Napi::Env)>;
// Runs on the job's thread; must not touch Node-API.
using JobBody = std::function<ResultMaker(JobContext&)>;

// The job object of the contract: { done, abort }.
Napi::Value start_job(Napi::Env env, const Napi::Function& sink, JobBody body);

// To be called once an environment: when its process or worker exits, running jobs are stopped and waited for
// first.
void end_jobs_at_exit(Napi::Env env);

// An Error with a `code`, as JavaScript sees it.
Napi::Error make_error(Napi::Env env, ErrorCode code, const std::string& message);

}  // namespace mode_ensemble::addon
