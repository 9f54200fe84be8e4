/** What eval-clean and eval-ood share. */

import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import type { Precision } from '../native/contract.js';
import type { CheckpointSettings } from '../run/run-checkpoints.js';
import {
  addMachineOptions,
  addTransformOptions,
  collect,
  fieldOption,
  type MachineFlags,
  type TransformFlags,
  transformOverrides,
} from './options.js';

/** Where features are kept that belong to no run. */
const DEFAULT_FEATURES = 'runs/cache/features';

export interface EvaluationFlags extends MachineFlags, TransformFlags {
  checkpoint: string[];
  in: string;
  root?: string;
  arch?: string;
  width?: number;
  features: string;
  batchSize: number;
  precision: Precision;
  skipBadImages?: true;
  json?: true;
}

export function addEvaluationOptions(command: Command): Command {
  command
    .requiredOption('--checkpoint <file>', 'a mode; may be given many times', collect)
    .requiredOption('--in <spec>', 'in-distribution data, [NAME=]READER:PATH[?split=test]; its test part by default')
    .option('--root <dir>', 'base of relative data paths')
    .option('--arch <name>', 'architecture, where the checkpoints do not say it')
    .addOption(fieldOption('--width <n>', 'width', 'channels of the first stage, with --arch'))
    .option('--features <dir>', 'feature store: what is there is not extracted again', DEFAULT_FEATURES)
    .addOption(fieldOption('--batch-size <n>', 'batchSize', 'images in a pass').default(256))
    .addOption(fieldOption('--precision <name>', 'precision', 'float32 or bfloat16').default('float32'));
  return addTransformOptions(addMachineOptions(command))
    .option('--skip-bad-images', 'pass over images that cannot be decoded, and count them')
    .option('--json', 'print the results as JSON');
}

/** Fields that are called otherwise on the command line. */
const FLAG_OF: Record<string, string> = { detectors: '--detector', ensembles: '--ensemble' };

export function checkpointSettings(flags: EvaluationFlags): CheckpointSettings {
  const { checkpoint, threads = availableParallelism(), workers = 2 } = flags;
  const { in: inSpec, root, arch, width, features, batchSize, precision, skipBadImages } = flags;
  return {
    ...{ in: inSpec, root, arch, width, features, batchSize, precision, skipBadImages },
    transform: transformOverrides(flags),
    checkpoints: checkpoint,
    threads,
    workers,
    nameField: (field) => FLAG_OF[field] ?? `--${field}`,
  };
}
