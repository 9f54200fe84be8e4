/** What landscape and connect share. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import type { OodLabels } from '../landscape/landscape.js';
import { flagName } from '../run/train-arguments.js';
import { addModeOptions, type ModeFlags } from './evaluation.js';
import { checkSuite, collect, fieldOption, transformOverrides } from './options.js';

export interface LandscapeFlags extends ModeFlags {
  out?: string[];
  run?: string;
  seeds?: number[];
  train?: string;
  output?: string;
  images: number | 'all';
  statisticsImages: number | 'all';
  labels: OodLabels;
  seed: number;
  memory: number;
}

/** Defaults of numbers of images. */
export interface Defaults {
  images: number | 'all';
  statisticsImages: number | 'all';
}

export function addLandscapeOptions(command: Command, name: string, defaults: Defaults): Command {
  return addModeOptions(command)
    .option('--out <spec>', 'OoD data, [NAME=]READER:PATH[?split=test]; may be given many times', collect)
    .option('--run <dir>', 'a run folder: its modes and data sets are taken where others are not named')
    .addOption(fieldOption('--seeds <list>', 'seeds', 'modes of --run, for instance 1000,1100 (default: all)'))
    .option('--output <dir>', `where everything goes (default: ${name} in --run, else runs/${name})`)
    .addOption(
      fieldOption('--images <n>', 'images', 'images of each set, picked at random, or all').default(defaults.images),
    )
    .addOption(
      fieldOption(
        '--labels <rule>',
        'labels',
        'what OoD images count as: own (sets of as many classes), prediction, random, uniform; auto is own or prediction',
      ).default('auto'),
    )
    .addOption(fieldOption('--seed <n>', 'seed', 'of all random choices').default(0))
    .addOption(
      fieldOption(
        '--statistics-images <n>',
        'images',
        "training images of which normalisation's statistics are estimated anew, or all",
      ).default(defaults.statisticsImages),
    )
    .option('--train <spec>', 'that training data (default: the train part of --in or --suite)')
    .addOption(fieldOption('--memory <GiB>', 'memory', 'that held images may take').default(2));
}

const FLAG_OF: Readonly<Record<string, string>> = { checkpoints: '--checkpoint' };

export function sharedSettings(flags: LandscapeFlags) {
  checkSuite(flags);
  const { checkpoint, threads = availableParallelism(), workers = 2, images, statisticsImages, memory } = flags;
  const { in: inner, out, suite, data, root, arch, width, preprocessing, skipBadImages } = flags;
  const { run, seeds, train, output, labels, seed } = flags;
  const numberOf = (count: number | 'all') => (count === 'all' ? 0 : count);
  return {
    ...{ in: inner, out, suite, data, root, arch, width, preprocessing, skipBadImages },
    ...{ run, seeds, train, output, labels, seed, threads, workers },
    checkpoints: checkpoint,
    transform: transformOverrides(flags),
    images: numberOf(images),
    statisticsImages: numberOf(statisticsImages),
    memory: Math.round(memory * 2 ** 30),
    nameField: (field: string) => FLAG_OF[field] ?? flagName(field),
  };
}

/** Where finished points lie, for what a stopped command tells. */
export function outputOf({ output, run = 'runs' }: LandscapeFlags, name: string): string {
  return output ?? `${run}/${name}`;
}

export function number(value: number): string {
  return Number.isNaN(value) ? '–' : value.toPrecision(4);
}
