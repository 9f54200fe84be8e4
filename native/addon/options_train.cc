// Options of trainings, and the random part of preparing images, which data passes share.
#include <sstream>

#include "addon/fields.h"
#include "addon/options.h"

namespace mode_ensemble::addon {
namespace {

std::string short_number(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

double from(const Fields& fields, const std::string& name, double least, double most) {
  const double value = fields.number(name);
  if (!(value >= least && value <= most))
    throw Error(ErrorCode::config, fields.at(name) + ": expected a number from " + short_number(least) +
                                       " to " + short_number(most) + ", found " + short_number(value) + ".");
  return value;
}

// Probabilities and decays of which 1 would leave nothing.
double below_one(const Fields& fields, const std::string& name) {
  const double value = fields.number(name);
  if (!(value >= 0 && value < 1))
    throw Error(ErrorCode::config, fields.at(name) + ": expected a number from 0 to below 1, found " +
                                       short_number(value) + ".");
  return value;
}

double at_least_0(const Fields& fields, const std::string& name) {
  const double value = fields.number(name);
  if (!(value >= 0))
    throw Error(ErrorCode::config,
                fields.at(name) + ": expected a number of at least 0, found " + short_number(value) + ".");
  return value;
}

OptimizerOptions optimizer(const Fields& fields) {
  OptimizerOptions out;
  out.name = one_of(fields, "name", {"sgd", "adamw"});
  out.weightDecay = at_least_0(fields, "weightDecay");
  out.decayOn = one_of(fields, "decayOn", {"all", "matrices"});
  out.momentum = below_one(fields, "momentum");
  out.nesterov = fields.boolean("nesterov");
  out.beta1 = below_one(fields, "beta1");
  out.beta2 = below_one(fields, "beta2");
  out.epsilon = at_least_0(fields, "epsilon");
  return out;
}

ScheduleOptions schedule(const Fields& fields) {
  ScheduleOptions out;
  out.name = one_of(fields, "name", {"cosine", "step"});
  out.learningRate = at_least_0(fields, "learningRate");
  out.warmupEpochs = at_least(fields, "warmupEpochs", 0);
  out.warmupRate = at_least_0(fields, "warmupRate");
  out.minRate = at_least_0(fields, "minRate");
  out.cooldownEpochs = at_least(fields, "cooldownEpochs", 0);
  out.stepEpochs = at_least(fields, "stepEpochs", 1);
  out.stepFactor = at_least_0(fields, "stepFactor");
  return out;
}

ObjectiveOptions objective(const Fields& fields) {
  ObjectiveOptions out;
  out.labelSmoothing = below_one(fields, "labelSmoothing");
  out.mixup = at_least_0(fields, "mixup");
  out.cutmix = at_least_0(fields, "cutmix");
  out.mixProbability = from(fields, "mixProbability", 0, 1);
  out.switchProbability = from(fields, "switchProbability", 0, 1);
  return out;
}

SavingOptions saving(const Fields& fields) {
  SavingOptions out;
  out.saveEpochs = at_least(fields, "saveEpochs", 0);
  out.stateSteps = at_least(fields, "stateSteps", 0);
  out.stateMinutes = at_least_0(fields, "stateMinutes");
  out.keepStates = at_least(fields, "keepStates", 1);
  out.folder = fields.string("folder");
  return out;
}

}  // namespace

std::array<double, 2> range(const Fields& fields, const std::string& name, double most) {
  const auto value = fields.pair(name);
  if (!(value[0] > 0 && value[0] <= value[1] && value[1] <= most))
    throw Error(ErrorCode::config, fields.at(name) + ": expected two rising numbers above 0" +
                                       (most < 2 ? " and up to 1." : "."));
  return value;
}

AugmentOptions augment(const Fields& fields) {
  AugmentOptions out;
  out.crop = one_of(fields, "crop", {"none", "padded", "resized"});
  out.cropPadding = at_least(fields, "cropPadding", 0);
  if (out.cropPadding > 4096)
    throw Error(ErrorCode::config, fields.at("cropPadding") + ": expected 0 to 4096.");
  out.scale = range(fields, "scale", 1);
  out.ratio = range(fields, "ratio", 1e6);
  out.flip = fields.boolean("flip");
  out.randAugment = at_least_0(fields, "randAugment");
  out.randAugmentOps = at_least(fields, "randAugmentOps", 1);
  out.randAugmentNoise = at_least_0(fields, "randAugmentNoise");
  out.erasing = from(fields, "erasing", 0, 1);
  return out;
}

TrainOptions training(const Fields& fields) {
  TrainOptions out;
  out.arch = arch(fields.object("arch"));
  out.seed = fields.integer("seed");
  out.train = open_data_of(fields.value("train"), fields.at("train"));
  out.transform = transform(fields.object("transform"));
  out.augment = augment(fields.object("augment"));
  out.decode = one_of(fields, "decode", {"exact", "fast"});
  out.keepDecoded = at_least(fields, "keepDecoded", 0);
  out.epochs = fields.integer("epochs");
  out.batchSize = fields.integer("batchSize");
  out.optimizer = optimizer(fields.object("optimizer"));
  out.schedule = schedule(fields.object("schedule"));
  out.objective = objective(fields.object("objective"));
  out.dropPath = below_one(fields, "dropPath");
  out.saving = saving(fields.object("saving"));
  out.device = fields.string("device");
  out.precision = fields.string("precision");
  out.threads = fields.integer("threads");
  out.workers = fields.integer("workers");
  out.checkpoint = fields.string("checkpoint");
  out.resume = fields.string("resume");
  out.metadata = fields.dictionary("metadata");
  return out;
}

TrainOptions read_train_options(const Napi::Value& value) {
  const Fields fields(value, "");
  TrainOptions out = training(fields);
  out.test = open_data_of(fields.value("test"), "test");
  out.ema = below_one(fields, "ema");
  out.reportSteps = at_least(fields, "reportSteps", 1);
  out.ranks = ranks_of(fields.value("ranks"), "ranks");
  out.evaluate = fields.boolean("evaluate");
  return out;
}

}  // namespace mode_ensemble::addon
