#include "addon/job.h"

#include <pthread.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <variant>
#include <vector>

#include "addon/values.h"
#include "runtime/failure.h"

// Who owns what, and in which order it goes:
// - A Job belongs to its thread-safe function: it is deleted by that function's finaliser and by nothing
// else.
// - The job's thread calls the thread-safe function only through post(), which does nothing once `closed_` is
// set.
// - The environment's clean-up hook is added after the thread-safe function was made. Node runs hooks last-in
//   first-out, so ours runs before Node takes the function away: it sets the abort flag and `closed_`, and
//   joins the thread. After that nobody can call a function that is gone.
// - process.exit() on the main thread runs no hooks: it goes straight to the C library's exit(), which takes
// LibTorch's
//   singletons away under a running thread. So the addon listens to Node's 'exit' event and ends the jobs
//   there, on the main thread those of all worker threads too. For this, every Job that lives is in
//   running().
// - In the ordinary way, the thread's last message makes finish() run on the JavaScript thread: it joins the
// thread,
//   removes the hook, settles the promise and releases the function.
// - `abort` in JavaScript holds the flag alone, so it may be called for ever.
namespace mode_ensemble::addon {
namespace {

struct Finished {
  ResultMaker result;  // empty where the job failed
  Error failure{ErrorCode::numeric, ""};
};

using Message = std::variant<Progress, StepReport, EpochReport, PointReport, LogLine, Finished>;

Napi::Object to_js(Napi::Env env, const Progress& progress) {
  auto event = Napi::Object::New(env);
  event["type"] = "progress";
  event["phase"] = progress.phase;
  event["done"] = static_cast<double>(progress.done);
  event["total"] = static_cast<double>(progress.total);
  event["rate"] = progress.rate;
  return event;
}

Napi::Object to_js(Napi::Env env, const StepReport& report) {
  auto event = Napi::Object::New(env);
  event["type"] = "step";
  event["epoch"] = static_cast<double>(report.epoch);
  event["epochs"] = static_cast<double>(report.epochs);
  event["step"] = static_cast<double>(report.step);
  event["steps"] = static_cast<double>(report.steps);
  event["globalStep"] = static_cast<double>(report.globalStep);
  event["loss"] = report.loss;
  event["top1"] = report.top1;
  event["top5"] = report.top5;
  event["learningRate"] = report.learningRate;
  event["imagesPerSecond"] = report.imagesPerSecond;
  event["dataWait"] = report.dataWait;
  return event;
}

Napi::Object to_js(Napi::Env env, const EpochReport& report) {
  auto event = Napi::Object::New(env);
  event["type"] = "epoch";
  event["epoch"] = static_cast<double>(report.epoch);
  event["epochs"] = static_cast<double>(report.epochs);
  event["globalStep"] = static_cast<double>(report.globalStep);
  event["loss"] = report.loss;
  event["trainTop1"] = report.trainTop1;
  event["trainTop5"] = report.trainTop5;
  event["learningRate"] = report.learningRate;
  event["accuracy"] = report.accuracy;
  event["top5"] = report.top5;
  event["testLoss"] = report.testLoss;
  event["seconds"] = report.seconds;
  event["imagesPerSecond"] = report.imagesPerSecond;
  event["dataWait"] = report.dataWait;
  return event;
}

Napi::Object to_js(Napi::Env env, const PointReport& point) {
  auto event = Napi::Object::New(env);
  event["type"] = "point";
  event["index"] = static_cast<double>(point.index);
  event["losses"] = numbers(env, point.losses);
  event["accuracies"] = numbers(env, point.accuracies);
  return event;
}

Napi::Object to_js(Napi::Env env, const LogLine& line) {
  auto event = Napi::Object::New(env);
  event["type"] = "log";
  event["level"] = line.warning ? "warning" : "info";
  event["message"] = line.message;
  return event;
}

class Job;

struct Running {
  std::mutex mutex;  // held while a job is ended from outside: it cannot be deleted meanwhile
  std::set<Job*> jobs;
  bool exiting = false;
};

// Never destroyed, like the threads it counts.
Running& running() {
  static auto* const instance = new Running;
  return *instance;
}

class Job final : public JobContext {
 public:
  Job(Napi::Env env, const Napi::Function& sink, JobBody body)
      : env_(env),
        abort_(std::make_shared<std::atomic<bool>>(false)),
        deferred_(Napi::Promise::Deferred::New(env)),
        body_(std::move(body)) {
    const auto name = Napi::String::New(env, "mode-ensemble job");
    const napi_status status = napi_create_threadsafe_function(
        env, sink, nullptr, name, 0, 1, this, &Job::finalize, this, &Job::on_message, &function_);
    if (status != napi_ok) throw Error(ErrorCode::device, "Node could not make a thread-safe function.");
    napi_add_env_cleanup_hook(env, &Job::on_environment_end, this);
    const std::lock_guard lock(running().mutex);
    running().jobs.insert(this);
  }

  ~Job() override {
    const std::lock_guard lock(running().mutex);
    running().jobs.erase(this);
  }

  napi_env environment() const { return env_; }
  void ask_to_stop() { *abort_ = true; }

  // Stops the job, waits for its thread and lets nothing through to JavaScript any more. Any thread, any
  // number of times.
  void end() {
    ask_to_stop();
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    join();
  }

  // Apart from the constructor: from there on Node holds `this`, so it must not be thrown out of.
  void start(Napi::Env env) {
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& error) {
      Finished finished;
      finished.failure =
          Error(ErrorCode::memory, std::string("No thread could be started: ") + error.what() + ".");
      finish(env, finished);
    }
  }

  Napi::Promise promise() const { return deferred_.Promise(); }
  std::shared_ptr<std::atomic<bool>> abort_flag() const { return abort_; }

  bool aborted() const override { return *abort_; }
  void report(const Progress& progress) override { post(progress); }
  void report(const StepReport& step) override { post(step); }
  void report(const EpochReport& epoch) override { post(epoch); }
  void report(const PointReport& point) override { post(point); }
  void report(const LogLine& line) override { post(line); }

 private:
  void run() {
    Finished finished;
    try {
      finished.result = body_(*this);
    } catch (...) {
      finished.failure = current_failure();
    }
    // What the body holds (data sets, options) goes here, not on the JavaScript thread.
    body_ = nullptr;
    post(std::move(finished));
  }

  void post(Message message) {
    auto owned = std::make_unique<Message>(std::move(message));
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    if (napi_call_threadsafe_function(function_, owned.get(), napi_tsfn_nonblocking) == napi_ok)
      owned.release();
  }

  static void on_message(napi_env raw_env, napi_value sink, void* context, void* data) {
    const std::unique_ptr<Message> message(static_cast<Message*>(data));
    if (raw_env == nullptr) return;  // the environment is going away
    const Napi::Env env(raw_env);
    const Napi::HandleScope scope(env);
    auto* job = static_cast<Job*>(context);
    if (auto* finished = std::get_if<Finished>(message.get())) return job->finish(env, *finished);
    const Napi::Value event = std::visit(
        [&](const auto& m) -> Napi::Value {
          if constexpr (std::is_same_v<std::decay_t<decltype(m)>, Finished>)
            return env.Undefined();
          else
            return to_js(env, m);
        },
        *message);
    const napi_value arguments[] = {event};
    napi_value ignored = nullptr;
    if (napi_call_function(env, env.Undefined(), sink, 1, arguments, &ignored) == napi_pending_exception) {
      // Left pending, Node would only warn of it (DEP0168); it is an uncaught exception as any callback's.
      napi_value thrown = nullptr;
      if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
    }
  }

  void finish(Napi::Env env, Finished& finished) {
    join();
    napi_remove_env_cleanup_hook(env, &Job::on_environment_end, this);
    try {
      if (finished.result)
        deferred_.Resolve(finished.result(env));
      else
        deferred_.Reject(make_error(env, finished.failure.code(), finished.failure.what()).Value());
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    } catch (...) {
      const Error failure = current_failure();
      deferred_.Reject(make_error(env, failure.code(), failure.what()).Value());
    }
    napi_release_threadsafe_function(function_, napi_tsfn_release);  // leads to finalize()
  }

  static void on_environment_end(void* data) { static_cast<Job*>(data)->end(); }

  void join() {
    const std::lock_guard lock(joining_);
    if (thread_.joinable()) thread_.join();
  }

  static void finalize(napi_env, void* data, void*) { delete static_cast<Job*>(data); }

  Napi::Env env_;
  std::shared_ptr<std::atomic<bool>> abort_;
  Napi::Promise::Deferred deferred_;
  JobBody body_;
  napi_threadsafe_function function_ = nullptr;
  std::mutex mutex_;
  bool closed_ = false;
  std::mutex joining_;  // of thread_
  std::thread thread_;
};

}  // namespace

Napi::Value start_job(Napi::Env env, const Napi::Function& sink, JobBody body) {
  {
    const std::lock_guard lock(running().mutex);
    if (running().exiting) throw Error(ErrorCode::aborted, "The process is exiting; no job begins any more.");
  }
  auto* job = new Job(env, sink, std::move(body));
  auto object = Napi::Object::New(env);
  object["done"] = job->promise();
  object["abort"] =
      Napi::Function::New(env, [flag = job->abort_flag()](const Napi::CallbackInfo&) { *flag = true; });
  job->start(env);
  return object;
}

void end_jobs_at_exit(Napi::Env env) {
  // Node's main environment lives on the process's first thread; a worker's exit ends that worker's jobs
  // alone.
#ifdef __APPLE__
  const bool is_main = pthread_main_np() != 0;
#else
  const bool is_main = gettid() == getpid();
#endif
  const auto end_jobs = [is_main](const Napi::CallbackInfo& call) {
    const napi_env own = call.Env();
    const std::lock_guard lock(running().mutex);
    running().exiting = running().exiting || is_main;
    std::vector<Job*> ended;
    for (Job* job : running().jobs)
      if (is_main || job->environment() == own) ended.push_back(job);
    for (Job* job : ended) job->ask_to_stop();
    for (Job* job : ended) job->end();
  };
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto on = process.Get("on").As<Napi::Function>();
  on.Call(process, {Napi::String::New(env, "exit"), Napi::Function::New(env, end_jobs, "endJobs")});
}

Napi::Error make_error(Napi::Env env, ErrorCode code, const std::string& message) {
  auto error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, error_code_name(code)));
  return error;
}

}  // namespace mode_ensemble::addon
