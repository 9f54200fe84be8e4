// What a job sees of the world outside: whether it should stop, and where its news go. No Node-API here.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/error.h"

namespace mode_ensemble {

struct Progress {
  std::string phase;
  int64_t done = 0;
  int64_t total = 0;
  double rate = 0;  // items per second since the phase began
};

// What a training did since the report before; see StepEvent of the contract.
struct StepReport {
  int64_t epoch = 0, epochs = 0, step = 0, steps = 0, globalStep = 0;  // from 1
  double loss = 0, top1 = 0, top5 = 0;                                 // percent
  double learningRate = 0;
  double imagesPerSecond = 0;
  double dataWait = 0;  // share of the training time, 0 to 1
};

struct EpochReport {
  int64_t epoch = 0, epochs = 0, globalStep = 0;  // from 1
  double loss = 0, trainTop1 = 0, trainTop5 = 0;  // percent
  double learningRate = 0;
  double accuracy = 0, top5 = 0;  // percent
  double testLoss = 0;
  double seconds = 0;
  double imagesPerSecond = 0;
  double dataWait = 0;  // share of the training time, 0 to 1
};

// What a network gives at a point of weight space; see PointEvent of the contract.
struct PointReport {
  int64_t index = 0;
  std::vector<double> losses, accuracies;  // one a set
};

struct LogLine {
  bool warning = false;
  std::string message;
};

// The sinks may be called from any thread.
class JobContext {
 public:
  virtual ~JobContext() = default;
  virtual bool aborted() const = 0;
  virtual void report(const Progress& progress) = 0;
  virtual void report(const StepReport& step) = 0;
  virtual void report(const EpochReport& epoch) = 0;
  virtual void report(const PointReport& point) = 0;
  virtual void report(const LogLine& line) = 0;

  // To be called at least once a batch: this is what makes "a job stops within one batch" true.
  void throw_if_aborted() const {
    if (aborted()) throw Error(ErrorCode::aborted, "The job was stopped.");
  }
};

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Counts what a phase has done and reports it, at most ten times a second and once at the end.
class ProgressMeter {
 public:
  ProgressMeter(JobContext& context, std::string phase, int64_t total)
      : context_(context), start_(std::chrono::steady_clock::now()), last_(start_) {
    progress_.phase = std::move(phase);
    progress_.total = total;
  }

  void add(int64_t items) {
    progress_.done += items;
    const auto now = std::chrono::steady_clock::now();
    if (progress_.done < progress_.total && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    progress_.rate = seconds > 0 ? static_cast<double>(progress_.done) / seconds : 0;
    context_.report(progress_);
  }

 private:
  JobContext& context_;
  std::chrono::steady_clock::time_point start_, last_;
  Progress progress_;
};

}  // namespace mode_ensemble
