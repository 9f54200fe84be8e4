import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { check } from '../config/check.js';
import { ConfigError } from '../config/errors.js';
import { type TrainSettings, trainSchema } from '../config/schema.js';
import { openData } from '../data/open.js';
import { parseDataSpec } from '../data/spec.js';
import { resolveArch } from '../modes/arch.js';
import { modeFolder, weightsHash } from '../modes/find.js';
import { trainMode } from '../modes/train.js';
import { overrideTransform } from '../modes/transform.js';
import type { CommandContext } from './context.js';
import {
  addMachineOptions,
  addTrainOptions,
  addTransformOptions,
  fieldOption,
  given,
  type MachineFlags,
  type TransformFlags,
  transformOverrides,
} from './options.js';
import { duration } from './progress.js';

const DEFAULT_RUN = 'runs/train';

interface Flags extends MachineFlags, TransformFlags, Partial<TrainSettings> {
  arch: string;
  width?: number;
  in: string;
  test?: string;
  seed: number;
  run?: string;
  out?: string;
  root?: string;
  skipBadImages?: true;
  json?: true;
}

export function addTrain(program: Command, context: CommandContext): void {
  const command = program
    .command('train')
    .summary('train one mode')
    .description(
      'Trains one network from one seed. A mode that is finished is not trained again, and never overwritten. ' +
        "The defaults of the training are the paper's for CIFAR-10.",
    )
    .requiredOption('--arch <name>', 'architecture, for instance cifar-resnet18')
    .addOption(fieldOption('--width <n>', 'width', "channels of the first stage (default: the architecture's)"))
    .requiredOption('--in <spec>', 'training data, [NAME=]READER:PATH[?split=train]')
    .option('--test <spec>', 'test data (default: the test part of --in)')
    .addOption(fieldOption('--seed <n>', 'seed', 'of all random choices').makeOptionMandatory())
    .option('--run <dir>', `run folder: the mode goes to <dir>/modes/<arch>/seed-<n> (default: ${DEFAULT_RUN})`)
    .option('--out <dir>', "the mode's own folder, instead of --run")
    .option('--root <dir>', 'base of relative data paths');
  addTransformOptions(addMachineOptions(addTrainOptions(command)))
    .option('--skip-bad-images', 'pass over images that cannot be decoded, and count them')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble train --arch cifar-resnet18 --width 16 --in builtin:shapes --seed 1000 --epochs 8
  $ mode-ensemble train --arch R18 --in cifar10:data/cifar-10-batches-bin --seed 1000 --run runs/cifar10
  $ mode-ensemble train --arch R18 --in folder:data/train --test folder:data/val --seed 1 --out my-mode`,
    )
    .action((flags: Flags) => train(flags, context));
}

async function train(flags: Flags, context: CommandContext): Promise<void> {
  const { seed, root, skipBadImages, threads = availableParallelism(), workers = 2 } = flags;
  if (flags.run !== undefined && flags.out !== undefined) {
    throw new ConfigError('--out: expected either --run or --out, found both');
  }
  const settings = trainSettings(flags);
  const inSpec = parseDataSpec(flags.in, '--in');
  const testSpec = flags.test === undefined ? { ...inSpec, split: undefined } : parseDataSpec(flags.test, '--test');
  if (flags.test === undefined && inSpec.split === 'test') {
    throw new ConfigError('--in: expected training data, found ?split=test; name the test data with --test');
  }
  const arch = resolveArch(flags.arch, flags.width, { where: '--arch' });
  const transform = overrideTransform(arch.transform, transformOverrides(flags), '--crop');
  const folder = flags.out ?? modeFolder(flags.run ?? DEFAULT_RUN, arch.id, seed);
  context.kept = folder;
  const { onStage, ...hooks } = context.hooks;
  // Without --test the two parts come from one set, which must then be divided.
  const shared = { ...hooks, root, skipBadImages, allowWhole: flags.test !== undefined };
  onStage('open data');
  using trainData = await openData(inSpec, { ...shared, where: '--in', split: 'train' });
  using testData = await openData(testSpec, { ...shared, where: '--test', split: 'test' });
  onStage(`train seed ${seed}`);
  const data = { train: trainData, test: testData };
  const mode = await trainMode({ arch, seed, ...data, settings, transform, threads, workers, folder }, hooks);
  const { checkpoint, isNew, result } = mode;
  if (flags.json) {
    const sha256 = await weightsHash(checkpoint, context.signal);
    context.printJson({ checkpoint, arch: arch.id, seed, isNew, sha256, ...result });
    return;
  }
  if (!result) {
    context.print(`${checkpoint}: finished before, with the same settings`);
    return;
  }
  const { accuracy, loss, seconds, imagesPerSecond } = result;
  const speed = `${duration(seconds)}, ${Math.round(imagesPerSecond)} images/s`;
  context.print(`${checkpoint}: test accuracy ${accuracy.toFixed(2)} %, loss ${loss.toFixed(4)}, ${speed}`);
}

function trainSettings(flags: Flags): TrainSettings {
  const { epochs, batchSize, learningRate, momentum, nesterov, weightDecay, dropout } = flags;
  const { randomCrop, cropPadding, cropScale, cropRatio, decode, flip, precision } = flags;
  const pictures = { randomCrop, cropPadding, cropScale, cropRatio, decode, flip };
  const optimisation = { epochs, batchSize, learningRate, momentum, nesterov, weightDecay, dropout };
  const settings = check(trainSchema, given({ ...optimisation, ...pictures, precision }), 'train');
  if (settings.nesterov && settings.momentum === 0) {
    throw new ConfigError('--nesterov: expected a --momentum above 0 with it, found 0');
  }
  return settings;
}
