/** What eval-clean, eval-ood and extract share. */

import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import type { Precision, Storage } from '../native/contract.js';
import type { CheckpointSettings } from '../run/run-checkpoints.js';
import {
  addEnsembleOptions,
  addMachineOptions,
  addSuiteOptions,
  addTransformOptions,
  checkSuite,
  collect,
  DEFAULT_DATA,
  type EnsembleFlags,
  ensemblesOf,
  fieldOption,
  type IntervalFlags,
  intervalsOf,
  listOption,
  type MachineFlags,
  modesAtOnceOption,
  type SuiteFlags,
  type TransformFlags,
  transformOverrides,
} from './options.js';

/** Where features are kept that belong to no run. */
export const DEFAULT_FEATURES = 'runs/cache/features';

/** Which modes and data a command is about. */
export interface ModeFlags extends MachineFlags, SuiteFlags, TransformFlags {
  checkpoint?: string[];
  preprocessing?: string;
  in?: string;
  root?: string;
  arch?: string[];
  width?: number[];
  skipBadImages?: true;
  json?: true;
}

export interface EvaluationFlags extends ModeFlags, EnsembleFlags, IntervalFlags {
  features: string;
  batchSize: number;
  precision: Precision;
  storage: Storage;
  modesAtOnce?: number;
}

/** Checkpoints, in-distribution data, architectures. */
export function addModeOptions(command: Command): Command {
  command
    .option('--checkpoint <file>', 'a mode; may be given many times', collect)
    .option('--in <spec>', 'in-distribution data, [NAME=]READER:PATH[?split=test]; its test part by default');
  return addSuiteOptions(command, 'a suite, instead of --in')
    .option('--root <dir>', 'base of relative data paths')
    .option(
      '--arch <name>',
      'architecture, where the checkpoints do not say it, once or for each --checkpoint; script:FILE for a TorchScript module',
      collect,
    )
    .addOption(listOption('--width <n>', 'width', 'channels of the first stage, once or for each --checkpoint'));
}

/** The machine, how images are prepared, and how results are printed. */
export function addPassOptions(command: Command, between: (command: Command) => void = () => {}): Command {
  addMachineOptions(command).option(
    '--preprocessing <arch>',
    'preprocess as for that architecture, not as the checkpoints say',
  );
  between(command);
  return addTransformOptions(command)
    .option('--skip-bad-images', 'pass over images that cannot be decoded; count and list them')
    .option('--json', 'print the results as JSON');
}

export function addEvaluationOptions(command: Command): Command {
  addModeOptions(command)
    .option('--features <dir>', 'feature store: what is there is not extracted again', DEFAULT_FEATURES)
    .addOption(fieldOption('--batch-size <n>', 'batchSize', 'images in a pass').default(256))
    .addOption(
      fieldOption(
        '--precision <name>',
        'inPrecision',
        'float32, float32-plain (layer by layer, to compare with) or bfloat16; on a GPU also tf32 or float16',
      ).default('float32'),
    )
    .addOption(fieldOption('--storage <name>', 'storage', 'of stored features: float32 or float16').default('float32'))
    .addOption(modesAtOnceOption());
  return addPassOptions(command, addEnsembleOptions);
}

/** Fields that are called otherwise on the command line. */
const FLAG_OF: Record<string, string> = { detectors: '--detector', checkpoints: '--checkpoint' };

export function checkpointSettings(flags: EvaluationFlags): CheckpointSettings {
  checkSuite(flags);
  const ensembles = flags.ensemble === undefined && flags.ensembleSize !== undefined ? '--ensemble-size' : '--ensemble';
  const {
    checkpoint = [],
    device = 'auto',
    threads = availableParallelism(),
    workers = 2,
    suite,
    data = DEFAULT_DATA,
  } = flags;
  const { in: inSpec, root, arch, width, preprocessing, features, batchSize, precision, skipBadImages } = flags;
  return {
    ...{ in: inSpec, suite, data, root, arch, width, preprocessing, features, batchSize, precision, skipBadImages },
    transform: transformOverrides(flags),
    storage: flags.storage,
    modesAtOnce: flags.modesAtOnce,
    checkpoints: checkpoint,
    device,
    threads,
    workers,
    ensembles: ensemblesOf(flags),
    intervals: intervalsOf(flags),
    nameField: (field) => (field === 'ensembles' ? ensembles : FLAG_OF[field]) ?? `--${field}`,
  };
}
