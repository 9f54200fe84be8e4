/**
 * How a mode is trained: the settings, and the recipes that fill in what is not said. Fields that do not shape the weights
 * (saving, reports) stand apart, so that they may differ where a training is taken up again.
 */
import { z } from 'zod';
import { atLeast0, count, flag, oneOf, positive, range, share } from './field-types.js';

const scaleText = "two rising numbers above 0 and up to 1, shares of the image's area";
const ratioText = "two rising numbers above 0, a box's width over its height";

/** The checks of single fields, shared by the file and the flags. */
export const trainFields = {
  recipe: oneOf(['cifar10', 'imagenet', 't2t-vit']),
  epochs: count(),
  batchSize: count(),
  optimizer: oneOf(['sgd', 'adamw']),
  learningRate: positive(),
  weightDecay: atLeast0(),
  decayOn: oneOf(['all', 'matrices']),
  momentum: share(true),
  nesterov: flag(),
  beta1: share(true),
  beta2: share(true),
  epsilon: positive(),
  schedule: oneOf(['cosine', 'step']),
  warmupEpochs: count(0),
  warmupRate: atLeast0(),
  minRate: atLeast0(),
  cooldownEpochs: count(0),
  stepEpochs: count(),
  stepFactor: positive(),
  labelSmoothing: share(true),
  mixup: atLeast0(),
  cutmix: atLeast0(),
  mixProbability: share(),
  switchProbability: share(),
  dropout: share(true),
  dropPath: share(true),
  ema: share(true),
  randomCrop: oneOf(['none', 'padded', 'resized']),
  cropPadding: count(0),
  cropScale: range(scaleText, 1),
  cropRatio: range(ratioText, 1e6),
  flip: flag(),
  randAugment: atLeast0(),
  randAugmentOps: count(),
  randAugmentNoise: atLeast0(),
  erasing: share(),
  decode: oneOf(['exact', 'fast']),
  precision: oneOf(['float32', 'tf32', 'bfloat16']),
} as const;

/** Of a training as it goes on; none of it shapes the weights. */
export const savingFields = {
  /** Steps between two reports; the last of an epoch is always one. */
  reportSteps: count(),
  /** The weights after the first epoch and after every so many are kept; 0: those after the last alone. */
  saveEpochs: count(0),
  /** Steps, and minutes, after which a training writes down what it needs to go on; 0: not for that reason. */
  stateSteps: count(0),
  stateMinutes: atLeast0(),
  /** So many of these are kept. */
  keepStates: count(),
} as const;

type Fields = { [Name in keyof typeof trainFields]: z.output<(typeof trainFields)[Name]> };
type SavingFields = { [Name in keyof typeof savingFields]: z.output<(typeof savingFields)[Name]> };
export type RecipeName = Fields['recipe'];

/** Everything that shapes the weights. */
export type Recipe = Omit<Fields, 'dropout'> & {
  /** Where it is not given: the architecture's. */
  dropout?: number | undefined;
};

/** `cifar10`, and what it has no use for. */
const PLAIN: Omit<Recipe, 'recipe'> & SavingFields = {
  epochs: 150,
  batchSize: 256,
  optimizer: 'sgd',
  learningRate: 0.1,
  weightDecay: 1e-4,
  decayOn: 'all',
  momentum: 0.9,
  nesterov: false,
  // torch.optim.AdamW's.
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  schedule: 'cosine',
  warmupEpochs: 0,
  warmupRate: 0,
  minRate: 0,
  cooldownEpochs: 0,
  stepEpochs: 30,
  stepFactor: 0.1,
  labelSmoothing: 0,
  mixup: 0,
  cutmix: 0,
  mixProbability: 1,
  switchProbability: 0.5,
  dropPath: 0,
  ema: 0,
  randomCrop: 'padded',
  cropPadding: 4,
  // Of torchvision's RandomResizedCrop.
  cropScale: [0.08, 1],
  cropRatio: [3 / 4, 4 / 3],
  flip: true,
  // timm's RandAugment, of which these are the usual number of ops and noise, and its random erasing.
  randAugment: 0,
  randAugmentOps: 2,
  randAugmentNoise: 0.5,
  erasing: 0,
  decode: 'exact',
  precision: 'float32',
  reportSteps: 50,
  saveEpochs: 0,
  stateSteps: 0,
  stateMinutes: 10,
  keepStates: 1,
};

const IMAGENET: Omit<Recipe, 'recipe'> & SavingFields = {
  ...PLAIN,
  epochs: 90,
  // ResNet-50; the paper takes 800 for DenseNet-121.
  batchSize: 1000,
  schedule: 'step',
  randomCrop: 'resized',
  cropPadding: 0,
  reportSteps: 10,
};

/** Sources: Fang et al., IJCV 2024, and its public code; for `t2t-vit` the public code of its authors (arXiv 2101.11986). */
export const RECIPES: Readonly<Record<RecipeName, Omit<Recipe, 'recipe'> & SavingFields>> = {
  cifar10: PLAIN,
  imagenet: IMAGENET,
  't2t-vit': {
    ...IMAGENET,
    // 300, and ten at the lowest rate.
    epochs: 310,
    cooldownEpochs: 10,
    batchSize: 512,
    optimizer: 'adamw',
    learningRate: 5e-4,
    weightDecay: 0.05,
    decayOn: 'matrices',
    schedule: 'cosine',
    warmupEpochs: 10,
    warmupRate: 1e-6,
    minRate: 1e-5,
    labelSmoothing: 0.1,
    mixup: 0.8,
    cutmix: 1,
    dropPath: 0.1,
    ema: 0.99996,
    randAugment: 9,
    erasing: 0.25,
  },
};

/** Settings as they are given, and no others. */
export const givenTrainSchema = z.strictObject(
  { ...optional(trainFields), ...optional(savingFields) },
  { error: 'a mapping of training settings' },
);

/** Settings as they are given; the recipe that they name fills in the others. */
export const trainSchema = z
  .strictObject(
    { ...optional(trainFields), ...optional(savingFields), recipe: trainFields.recipe.default('cifar10') },
    { error: 'a mapping of training settings' },
  )
  .transform((given) => ({ ...RECIPES[given.recipe], ...withoutGaps(given) }) as TrainSettings);

/** Every field filled in. */
export type TrainSettings = Recipe & SavingFields;
export type SavingSettings = SavingFields;

/** The settings that shape the weights, and those that do not. */
export function splitSettings(settings: TrainSettings): { recipe: Recipe; saving: SavingSettings } {
  const entries = Object.entries(settings);
  const isSaving = ([name]: [string, unknown]) => Object.hasOwn(savingFields, name);
  return {
    recipe: Object.fromEntries(entries.filter((entry) => !isSaving(entry))) as unknown as Recipe,
    saving: Object.fromEntries(entries.filter(isSaving)) as unknown as SavingSettings,
  };
}

type Optional<Shape extends Record<string, z.ZodType>> = { [Name in keyof Shape]: z.ZodOptional<Shape[Name]> };

function optional<Shape extends Record<string, z.ZodType>>(shape: Shape): Optional<Shape> {
  const entries = Object.entries(shape).map(([name, field]) => [name, field.optional()]);
  return Object.fromEntries(entries) as Optional<Shape>;
}

function withoutGaps(given: object): object {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
