/** The recipe of a mode in the words of the training job. */
import type { Recipe } from '../config/recipes.js';
import type { AugmentOptions, TrainOptions } from '../native/contract.js';

/** Sets of which all decoded images take at most so many bytes stay in memory from epoch to epoch. */
const KEEP_DECODED = 2 ** 30;

export type RecipeOptions = Pick<
  TrainOptions,
  | 'augment'
  | 'decode'
  | 'keepDecoded'
  | 'epochs'
  | 'batchSize'
  | 'optimizer'
  | 'schedule'
  | 'objective'
  | 'dropPath'
  | 'ema'
  | 'precision'
>;

export function augmentOptions(recipe: Recipe): AugmentOptions {
  const { randomCrop: crop, cropPadding, cropScale: scale, cropRatio: ratio, flip } = recipe;
  const { randAugment, randAugmentOps, randAugmentNoise, erasing } = recipe;
  return { crop, cropPadding, scale, ratio, flip, randAugment, randAugmentOps, randAugmentNoise, erasing };
}

export function recipeOptions(recipe: Recipe): RecipeOptions {
  const { optimizer: name, weightDecay, decayOn, momentum, nesterov, beta1, beta2, epsilon } = recipe;
  const { schedule, learningRate, warmupEpochs, warmupRate, minRate, cooldownEpochs, stepEpochs, stepFactor } = recipe;
  const { labelSmoothing, mixup, cutmix, mixProbability, switchProbability } = recipe;
  const { epochs, batchSize, decode, dropPath, ema, precision } = recipe;
  const rates = { learningRate, warmupEpochs, warmupRate, minRate, cooldownEpochs, stepEpochs, stepFactor };
  return {
    augment: augmentOptions(recipe),
    decode,
    keepDecoded: KEEP_DECODED,
    epochs,
    batchSize,
    optimizer: { name, weightDecay, decayOn, momentum, nesterov, beta1, beta2, epsilon },
    schedule: { name: schedule, ...rates },
    objective: { labelSmoothing, mixup, cutmix, mixProbability, switchProbability },
    dropPath,
    ema,
    precision,
  };
}
