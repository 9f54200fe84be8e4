/** Flags that several commands share, checked as the experiment file's fields are. */
import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { check, checkList, checkText } from '../config/check.js';
import { ConfigError } from '../config/errors.js';
import {
  fields,
  MODES_AT_ONCE,
  RECIPES,
  SEARCH_MEMORY,
  type TrainSettings,
  type TransformSettings,
  trainSchema,
} from '../config/schema.js';
import { SUITES } from '../data/suites.js';
import { CONVENTION_NAMES, type ConventionName, DEFAULT_INTERVALS, type IntervalSettings } from '../metrics/index.js';
import type { EnsembleWish } from '../run/experiment.js';
import { DEFAULT_DATA } from '../run/train-sets.js';

type FieldName = keyof typeof fields;

/** A flag whose value is checked as the field of that name. */
export function fieldOption(flags: string, field: FieldName, description: string): Option {
  const long = /--[a-z-]+/.exec(flags)?.[0] ?? flags;
  const schema: z.ZodType = fields[field];
  const parse = field === 'seeds' ? checkList : checkText;
  return new Option(flags, description).argParser((text: string) => parse(schema, text, long));
}

/** As fieldOption, for a flag that may be given many times. */
export function listOption(flags: string, field: FieldName, description: string): Option {
  const option = fieldOption(flags, field, description);
  const { parseArg } = option;
  return option.argParser((text: string, before: unknown[] = []) => [...before, parseArg?.(text, undefined)]);
}

/** Collects a flag that may be given many times. */
export function collect(text: string, before: string[] = []): string[] {
  return [...before, text];
}

/** Collects a flag that may be given many times and takes lists. */
export function collectList(text: string, before: string[] = []): string[] {
  return [...before, ...splitList(text)];
}

export function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** `0.49,0.48,0.45`, or with fractions: `125.3/255,123/255,113.9/255`. */
function numbersOf(text: string): (number | string)[] {
  return text.split(',').map((item) => {
    const [over, under = '1', ...rest] = item.split('/').map((part) => part.trim());
    const value = Number(over) / Number(under);
    return over && under && rest.length === 0 && Number.isFinite(value) ? value : item.trim();
  });
}

const TRANSFORM_FLAGS: readonly [flags: string, field: FieldName & keyof TransformSettings, description: string][] = [
  ['--mean <r,g,b>', 'mean', 'subtracted from pixels in [0, 1]; fractions such as 125.3/255 are taken'],
  ['--std <r,g,b>', 'std', 'what the pixels are divided by then'],
  ['--resize <pixels>', 'resize', 'size to which images are brought'],
  ['--fit <side>', 'fit', 'which side that is: both, or short'],
  ['--filter <name>', 'filter', 'bilinear or bicubic'],
  ['--crop <pixels>', 'crop', 'side of the square cut from the middle'],
];

/** Flags that override the preprocessing of a checkpoint or an architecture. */
export function addTransformOptions(command: Command): Command {
  for (const [flags, field, description] of TRANSFORM_FLAGS) {
    const option = fieldOption(flags, field, `preprocessing: ${description}`);
    if (field === 'mean' || field === 'std') {
      option.argParser((text: string) => check(fields[field], numbersOf(text), `--${field}`));
    }
    command.addOption(option);
  }
  return command;
}

export type TransformFlags = TransformSettings;

export function transformOverrides({ mean, std, resize, fit, filter, crop }: TransformFlags): TransformSettings {
  return given({ mean, std, resize, fit, filter, crop });
}

type TrainField = keyof TrainSettings & FieldName;

/** Every training setting but the two that are switches: flag, field, description. */
const TRAIN_FLAGS: readonly [flags: string, field: TrainField, description: string][] = [
  [
    '--recipe <name>',
    'recipe',
    "what holds where nothing else is said: the paper's for cifar10 or imagenet, or t2t-vit",
  ],
  ['--epochs <n>', 'epochs', 'passes over the training data'],
  ['--batch-size <n>', 'batchSize', 'images in a step'],
  ['--optimizer <name>', 'optimizer', 'sgd or adamw'],
  ['--learning-rate <x>', 'learningRate', 'the highest'],
  ['--momentum <x>', 'momentum', 'of sgd'],
  ['--beta1 <x>', 'beta1', 'of adamw: decay of the mean'],
  ['--beta2 <x>', 'beta2', 'of adamw: decay of the squares'],
  ['--epsilon <x>', 'epsilon', 'of adamw'],
  ['--weight-decay <x>', 'weightDecay', 'how strongly weights are drawn to 0'],
  ['--decay-on <which>', 'decayOn', 'all parameters, or matrices: norms and biases are spared'],
  ['--schedule <name>', 'schedule', 'of the learning rate: cosine or step'],
  ['--min-rate <x>', 'minRate', 'where the cosine ends'],
  ['--cooldown-epochs <n>', 'cooldownEpochs', 'epochs at --min-rate after the cosine'],
  ['--step-epochs <n>', 'stepEpochs', 'epochs between two steps'],
  ['--step-factor <x>', 'stepFactor', 'what a step multiplies the learning rate by'],
  ['--warmup-epochs <n>', 'warmupEpochs', 'first epochs, in which the learning rate rises'],
  ['--warmup-rate <x>', 'warmupRate', 'learning rate from which it rises'],
  ['--label-smoothing <x>', 'labelSmoothing', 'share of a label that all classes divide'],
  ['--mixup <alpha>', 'mixup', 'mix images of a batch, with a share from Beta(α, α); 0 for none'],
  ['--cutmix <alpha>', 'cutmix', 'put boxes of other images in, with a share from Beta(α, α); 0 for none'],
  ['--mix-probability <x>', 'mixProbability', 'share of batches that are mixed'],
  ['--switch-probability <x>', 'switchProbability', 'share of these that take cutmix, where there are both'],
  ['--dropout <x>', 'dropout', 'probability, for families that have it'],
  ['--drop-path <x>', 'dropPath', 'probability with which the last residual block is left out; t2t-vit alone'],
  ['--ema <decay>', 'ema', 'keep a running mean of the weights; 0 for none'],
  ['--random-crop <kind>', 'randomCrop', 'none, padded, or resized (a random box becomes the square)'],
  ['--crop-padding <pixels>', 'cropPadding', 'of the padded random crop; 0 for none'],
  ['--crop-scale <from,to>', 'cropScale', "of the resized random crop: share of the image's area"],
  ['--crop-ratio <from,to>', 'cropRatio', "of the resized random crop: a box's width over its height"],
  ['--rand-augment <magnitude>', 'randAugment', "of timm's RandAugment, up to 10; 0 for none"],
  ['--rand-augment-ops <n>', 'randAugmentOps', 'ops that it draws for an image'],
  ['--rand-augment-noise <x>', 'randAugmentNoise', 'standard deviation of its magnitude'],
  ['--erasing <x>', 'erasing', 'probability that a box of an image becomes noise'],
  ['--decode <mode>', 'decode', 'of training images: exact, or fast'],
  ['--precision <name>', 'precision', 'float32 or bfloat16; on a GPU also tf32'],
  ['--report-steps <n>', 'reportSteps', 'steps between two lines of log.jsonl'],
  ['--save-epochs <n>', 'saveEpochs', 'keep the weights after the first epoch and after every n; 0 for the last alone'],
  ['--state-steps <n>', 'stateSteps', 'write down every n steps what is needed to go on; 0 for not'],
  ['--state-minutes <x>', 'stateMinutes', 'as --state-steps, by the clock'],
  ['--keep-states <n>', 'keepStates', 'how many of these are kept'],
];

/** How a default is written where the recipes agree, and where they do not. */
function usualText(field: TrainField): string {
  if (field === 'recipe') return 'cifar10';
  if (field === 'dropout') return "the architecture's";
  if (field === 'cropRatio') return '3/4,4/3';
  const usual = String(RECIPES.cifar10[field]);
  const others = Object.entries(RECIPES).filter(([, recipe]) => String(recipe[field]) !== usual);
  return [usual, ...others.map(([name, recipe]) => `${name}: ${recipe[field]}`)].join('; ');
}

/** Adds the flags of a training; trainSettings reads their values back. */
export function addTrainOptions(command: Command): Command {
  for (const [flags, field, description] of TRAIN_FLAGS) {
    const option = fieldOption(flags, field, `${description} (default: ${usualText(field)})`);
    if (field === 'cropScale' || field === 'cropRatio') {
      option.argParser((text: string) => check(fields[field], numbersOf(text), option.long as string));
    }
    command.addOption(option);
  }
  return command.option('--nesterov', 'Nesterov momentum').option('--no-flip', 'do not flip images at random');
}

/** The settings that the flags give, and no others. */
export function givenTrainSettings(flags: Partial<TrainSettings>): Partial<TrainSettings> {
  const named = Object.fromEntries(TRAIN_FLAGS.map(([, field]) => [field, flags[field]]));
  const { nesterov, flip } = flags;
  return given({ ...named, nesterov, flip });
}

/** The settings that the flags give, and what the recipe says of the others. @throws ConfigError */
export function trainSettings(flags: Partial<TrainSettings>): TrainSettings {
  const settings = check(trainSchema, givenTrainSettings(flags), 'train');
  if (settings.nesterov && settings.momentum === 0) {
    throw new ConfigError('--nesterov: expected a --momentum above 0 with it, found 0');
  }
  return settings;
}

export interface SuiteFlags {
  suite?: string;
  data?: string;
}

export { DEFAULT_DATA };

export const SUITE_NAMES = SUITES.map(({ name }) => name).join(', ');

export function addSuiteOptions(command: Command, description: string): Command {
  return command
    .option('--suite <name>', `${description}: ${SUITE_NAMES}`)
    .option('--data <dir>', `folder of the suite's sets (default: "${DEFAULT_DATA}")`);
}

/** @throws ConfigError for a folder without a suite, which would be passed over */
export function checkSuite({ suite, data }: SuiteFlags): void {
  if (suite === undefined && data !== undefined) {
    throw new ConfigError('--data: expected --suite with it, found none');
  }
}

export interface IntervalFlags {
  intervals?: number;
  intervalLevel?: number;
  intervalSeed?: number;
}

export interface MeasureFlags extends IntervalFlags {
  convention?: ConventionName;
}

export function addMeasureOptions(command: Command): Command {
  const names = CONVENTION_NAMES.join(', ');
  command.addOption(
    fieldOption('--convention <name>', 'convention', `how FPR95 and AUPR are read off: ${names} (default: reference)`),
  );
  return addIntervalOptions(command);
}

export function addIntervalOptions(command: Command): Command {
  const { resamples, level, seed } = DEFAULT_INTERVALS;
  return command
    .addOption(
      fieldOption(
        '--intervals [resamples]',
        'resamples',
        'bootstrap intervals over images, from so many resamples',
      ).preset(String(resamples)),
    )
    .addOption(fieldOption('--interval-level <x>', 'intervalLevel', `share of resamples in them (default: ${level})`))
    .addOption(fieldOption('--interval-seed <n>', 'intervalSeed', `seed of their resamples (default: ${seed})`));
}

/**
 * The bootstrap that is asked for; undefined where the flags say nothing.
 *
 * @param base what the flags override: the experiment file's
 * @throws ConfigError for settings of a bootstrap that nobody asks for
 */
export function intervalsOf(flags: IntervalFlags, base?: IntervalSettings): IntervalSettings | undefined {
  const { intervals: resamples, intervalLevel: level, intervalSeed: seed } = flags;
  const found = given({ resamples, level, seed });
  if (Object.keys(found).length === 0) return undefined;
  if (resamples === undefined && base === undefined) {
    const flag = level === undefined ? '--interval-seed' : '--interval-level';
    throw new ConfigError(`${flag}: expected --intervals with it, found none`);
  }
  return { ...DEFAULT_INTERVALS, ...base, ...found };
}

export interface EnsembleFlags {
  ensemble?: string[][];
  ensembleSize?: number | 'all';
}

export function addEnsembleOptions(command: Command): Command {
  return command
    .option(
      '--ensemble <list>',
      'members of an ensemble, for instance 1000,1200; may be given many times (default: all together)',
      (text: string, before: string[][] = []) => [...before, splitList(text)],
    )
    .addOption(
      fieldOption(
        '--ensemble-size <n>',
        'ensembleSize',
        'every ensemble of so many modes, or all: of any number; also with --ensemble',
      ),
    );
}

/** What the flags ask for; with both, what each of them asks for. */
export function ensemblesOf({ ensemble, ensembleSize }: EnsembleFlags): EnsembleWish {
  if (ensembleSize !== undefined) return { size: ensembleSize, lists: ensemble ?? [] };
  return ensemble ?? 'all';
}

export interface MachineFlags {
  device?: string;
  threads?: number;
  workers?: number;
}

export function addMachineOptions(command: Command): Command {
  return command
    .addOption(
      fieldOption('--device <name>', 'device', 'where networks compute: auto, cpu, cuda or cuda:N (default: auto)'),
    )
    .addOption(fieldOption('--threads <n>', 'threads', 'compute threads (default: all)'))
    .addOption(fieldOption('--workers <n>', 'workers', 'threads that read images (default: 2)'));
}

export function modesAtOnceOption(): Option {
  return fieldOption(
    '--modes-at-once <n>',
    'modesAtOnce',
    `networks in memory together; more read the images again (default: ${MODES_AT_ONCE})`,
  );
}

export function searchMemoryOption(): Option {
  return fieldOption(
    '--search-memory <MiB>',
    'searchMemory',
    `of training features that knn searches at a time (default: ${SEARCH_MEMORY})`,
  );
}

/** The entries that were given, without those left undefined. */
export function given<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
