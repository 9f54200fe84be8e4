#include "train/schedule.h"

#include <cmath>

#include "runtime/error.h"

namespace mode_ensemble {
namespace {

double cosine(const ScheduleOptions& schedule, int64_t epoch, int64_t epochs) {
  const int64_t falling = epochs - schedule.cooldownEpochs;
  if (epoch >= falling) return schedule.minRate;
  const double share = static_cast<double>(epoch) / static_cast<double>(falling);
  return schedule.minRate + 0.5 * (schedule.learningRate - schedule.minRate) * (1.0 + std::cos(M_PI * share));
}

double step(const ScheduleOptions& schedule, int64_t epoch, int64_t) {
  return schedule.learningRate *
         std::pow(schedule.stepFactor, static_cast<double>(epoch / schedule.stepEpochs));
}

struct Row {
  const char* name;
  double (*rate)(const ScheduleOptions&, int64_t epoch, int64_t epochs);
};
constexpr Row kSchedules[] = {{"cosine", cosine}, {"step", step}};

}  // namespace

double learning_rate(const ScheduleOptions& schedule, int64_t epoch, int64_t epochs) {
  if (epoch < schedule.warmupEpochs) {
    const double share = static_cast<double>(epoch) / static_cast<double>(schedule.warmupEpochs);
    return schedule.warmupRate + share * (schedule.learningRate - schedule.warmupRate);
  }
  for (const auto& row : kSchedules)
    if (schedule.name == row.name) return row.rate(schedule, epoch, epochs);
  throw Error(ErrorCode::config, "schedule.name: unknown schedule \"" + schedule.name + "\".");
}

}  // namespace mode_ensemble
