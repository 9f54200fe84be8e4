/** The flags of a training: what `train` and `sweep` share. */
import type { Command } from 'commander';
import type { TrainSettings } from '../config/schema.js';
import {
  addMachineOptions,
  addSuiteOptions,
  addTrainOptions,
  addTransformOptions,
  collectList,
  fieldOption,
  type MachineFlags,
  type SuiteFlags,
  type TransformFlags,
} from './options.js';

export interface TrainFlags extends MachineFlags, SuiteFlags, TransformFlags, Partial<TrainSettings> {
  width?: number;
  in?: string;
  test?: string;
  run?: string;
  root?: string;
  skipBadImages?: true;
  allowChange?: string[];
  ranks?: number;
  json?: true;
}

/** The network's width, and the data. */
export function addTrainDataOptions(command: Command): Command {
  command
    .addOption(fieldOption('--width <n>', 'width', "channels of the first stage (default: the architecture's)"))
    .option('--in <spec>', 'training data, [NAME=]READER:PATH[?split=train]')
    .option('--test <spec>', 'test data (default: the test part of --in)');
  return addSuiteOptions(command, "a suite's in-distribution set, instead of --in and --test");
}

/** How it is trained, on what, and what is told of it. */
export function addTrainingOptions(command: Command): Command {
  return addTransformOptions(addMachineOptions(addTrainOptions(command)))
    .option(
      '--allow-change <settings>',
      'go on with a stopped training in which these differed, for instance epochs,learningRate',
      collectList,
    )
    .addOption(
      fieldOption(
        '--ranks <n>',
        'ranks',
        'processes on this machine that share every batch; also mpirun, srun and torchrun start them',
      ),
    )
    .option('--skip-bad-images', 'pass over images that cannot be decoded, and count them')
    .option('--json', 'print the result as JSON');
}
