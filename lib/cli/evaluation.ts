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
  type SuiteFlags,
  type TransformFlags,
  transformOverrides,
} from './options.js';

/** Where features are kept that belong to no run. */
export const DEFAULT_FEATURES = 'runs/cache/features';

export interface EvaluationFlags extends MachineFlags, SuiteFlags, TransformFlags, EnsembleFlags, IntervalFlags {
  checkpoint?: string[];
  preprocessing?: string;
  in?: string;
  root?: string;
  arch?: string[];
  width?: number[];
  features: string;
  batchSize: number;
  precision: Precision;
  storage: Storage;
  skipBadImages?: true;
  json?: true;
}

export function addEvaluationOptions(command: Command): Command {
  command
    .option('--checkpoint <file>', 'a mode; may be given many times', collect)
    .option('--in <spec>', 'in-distribution data, [NAME=]READER:PATH[?split=test]; its test part by default');
  addSuiteOptions(command, 'a suite, instead of --in')
    .option('--root <dir>', 'base of relative data paths')
    .option(
      '--arch <name>',
      'architecture, where the checkpoints do not say it, once or for each --checkpoint; script:FILE for a TorchScript module',
      collect,
    )
    .addOption(listOption('--width <n>', 'width', 'channels of the first stage, once or for each --checkpoint'))
    .option('--features <dir>', 'feature store: what is there is not extracted again', DEFAULT_FEATURES)
    .addOption(fieldOption('--batch-size <n>', 'batchSize', 'images in a pass').default(256))
    .addOption(
      fieldOption('--precision <name>', 'inPrecision', 'float32 or bfloat16; on a GPU also tf32 or float16').default(
        'float32',
      ),
    )
    .addOption(fieldOption('--storage <name>', 'storage', 'of stored features: float32 or float16').default('float32'));
  addMachineOptions(command).option(
    '--preprocessing <arch>',
    'preprocess as for that architecture, not as the checkpoints say',
  );
  addEnsembleOptions(command);
  return addTransformOptions(command)
    .option('--skip-bad-images', 'pass over images that cannot be decoded; count and list them')
    .option('--json', 'print the results as JSON');
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
    checkpoints: checkpoint,
    device,
    threads,
    workers,
    ensembles: ensemblesOf(flags),
    intervals: intervalsOf(flags),
    nameField: (field) => (field === 'ensembles' ? ensembles : FLAG_OF[field]) ?? `--${field}`,
  };
}
