/** Flags that several commands share, checked as the experiment file's fields are. */
import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { check, checkList, checkText } from '../config/check.js';
import { ConfigError } from '../config/errors.js';
import { fields, type TrainSettings, type TransformSettings, trainSchema } from '../config/schema.js';
import { SUITES } from '../data/suites.js';

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

const RECIPE = trainSchema.parse({});

/** What holds where a recipe does not say it. */
const UNSTATED: Partial<Record<keyof TrainSettings, string>> = {
  dropout: "the architecture's",
  randomCrop: 'padded',
  cropScale: '0.08,1',
  cropRatio: '3/4,4/3',
  decode: 'exact',
};

/** Every training setting: flag, field, description. */
const TRAIN_FLAGS: readonly [flags: string, field: FieldName & keyof TrainSettings, description: string][] = [
  ['--epochs <n>', 'epochs', 'passes over the training data'],
  ['--batch-size <n>', 'batchSize', 'images in a step'],
  ['--learning-rate <x>', 'learningRate', 'at the start; it falls to 0 along a cosine'],
  ['--momentum <x>', 'momentum', 'of the stochastic gradient descent'],
  ['--weight-decay <x>', 'weightDecay', 'on all parameters'],
  ['--dropout <x>', 'dropout', 'probability, for families that have it'],
  ['--random-crop <kind>', 'randomCrop', 'none, padded, or resized (a random box becomes the square)'],
  ['--crop-padding <pixels>', 'cropPadding', 'of the padded random crop; 0 for none'],
  ['--crop-scale <from,to>', 'cropScale', "of the resized random crop: share of the image's area"],
  ['--crop-ratio <from,to>', 'cropRatio', "of the resized random crop: a box's width over its height"],
  ['--decode <mode>', 'decode', 'of training images: exact, or fast'],
  ['--precision <name>', 'precision', 'float32 or bfloat16'],
];

/** Adds the flags of a training; their values are read back with trainSettings. */
export function addTrainOptions(command: Command): Command {
  for (const [flags, field, description] of TRAIN_FLAGS) {
    const usual = RECIPE[field] ?? UNSTATED[field];
    const option = fieldOption(flags, field, `${description} (default: ${usual})`);
    if (field === 'cropScale' || field === 'cropRatio') {
      option.argParser((text: string) => check(fields[field], numbersOf(text), option.long as string));
    }
    command.addOption(option);
  }
  return command.option('--nesterov', 'Nesterov momentum').option('--no-flip', 'do not flip images at random');
}

export interface SuiteFlags {
  suite?: string;
  data?: string;
}

/** Where a suite lies if nothing else is said. */
export const DEFAULT_DATA = 'data';

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

export interface MachineFlags {
  threads?: number;
  workers?: number;
}

export function addMachineOptions(command: Command): Command {
  return command
    .addOption(fieldOption('--threads <n>', 'threads', 'compute threads (default: all)'))
    .addOption(fieldOption('--workers <n>', 'workers', 'threads that read images (default: 2)'));
}

/** The entries that were given, without those left undefined. */
export function given<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
