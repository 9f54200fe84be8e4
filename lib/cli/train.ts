import type { Command } from 'commander';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import type { TrainSettings } from '../config/schema.js';
import { openData } from '../data/open.js';
import { parseDataSpec } from '../data/spec.js';
import { missingSentence } from '../data/suite.js';
import { resolveArch } from '../modes/arch.js';
import { modeFolder, weightsHash } from '../modes/find.js';
import { checkChangeable } from '../modes/state.js';
import { trainMode } from '../modes/train.js';
import { overrideTransform } from '../modes/transform.js';
import { type Launch, launchOf, threadsOf } from '../ranks/launch.js';
import { runLocalRanks } from '../ranks/local.js';
import { Ranks } from '../ranks/ranks.js';
import { chooseSets, requireSuiteSize, tellIncomplete } from '../run/sets.js';
import type { CommandContext } from './context.js';
import {
  addMachineOptions,
  addSuiteOptions,
  addTrainOptions,
  addTransformOptions,
  checkSuite,
  collectList,
  DEFAULT_DATA,
  fieldOption,
  given,
  type MachineFlags,
  type SuiteFlags,
  type TransformFlags,
  trainSettings,
  transformOverrides,
} from './options.js';
import { duration } from './progress.js';

const DEFAULT_RUN = 'runs/train';

interface Flags extends MachineFlags, SuiteFlags, TransformFlags, Partial<TrainSettings> {
  arch: string;
  width?: number;
  in?: string;
  test?: string;
  seed: number;
  run?: string;
  out?: string;
  root?: string;
  skipBadImages?: true;
  allowChange?: string[];
  ranks?: number;
  json?: true;
}

export function addTrain(program: Command, context: CommandContext): void {
  const command = program
    .command('train')
    .summary('train one mode')
    .description(
      'Trains one network from one seed. A mode that is finished is not trained again, and never overwritten; one that was ' +
        'stopped goes on where it was, to the same weights. ' +
        "The defaults of the training are the paper's for CIFAR-10; --recipe imagenet takes those for ImageNet.",
    )
    .requiredOption('--arch <name>', 'architecture, for instance cifar-resnet18')
    .addOption(fieldOption('--width <n>', 'width', "channels of the first stage (default: the architecture's)"))
    .option('--in <spec>', 'training data, [NAME=]READER:PATH[?split=train]')
    .option('--test <spec>', 'test data (default: the test part of --in)');
  addSuiteOptions(command, "a suite's in-distribution set, instead of --in and --test")
    .addOption(fieldOption('--seed <n>', 'seed', 'of all random choices').makeOptionMandatory())
    .option('--run <dir>', `run folder: the mode goes to <dir>/modes/<arch>/seed-<n> (default: ${DEFAULT_RUN})`)
    .option('--out <dir>', "the mode's own folder, instead of --run")
    .option('--root <dir>', 'base of relative data paths');
  addTransformOptions(addMachineOptions(addTrainOptions(command)))
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
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble train --arch cifar-resnet18 --width 16 --in builtin:shapes --seed 1000 --epochs 8
  $ mode-ensemble train --arch R18 --in cifar10:data/cifar-10-batches-bin --seed 1000 --run runs/cifar10
  $ mode-ensemble train --arch R18 --in folder:data/train --test folder:data/val --seed 1 --out my-mode
  $ mode-ensemble train --arch R18 --suite cifar10 --data ~/data --seed 1000 --run runs/cifar10`,
    )
    .action((flags: Flags) => train(flags, context));
}

async function train(flags: Flags, context: CommandContext): Promise<void> {
  const launch = launchOf();
  const { seed, skipBadImages, threads = threadsOf(launch), workers = 2 } = flags;
  if (flags.run !== undefined && flags.out !== undefined) {
    throw new ConfigError('--out: expected either --run or --out, found both');
  }
  const settings = trainSettings(flags);
  const { allowChange = [] } = flags;
  checkChangeable(allowChange, '--allow-change');
  const sets = trainSets(flags);
  const arch = resolveArch(flags.arch, flags.width, { where: '--arch' });
  const transform = overrideTransform(arch.transform, transformOverrides(flags), '--crop');
  requireSuiteSize(sets, arch.id, transform, flags.crop !== undefined, { suite: '--suite', crop: '--crop' });
  const folder = flags.out ?? modeFolder(flags.run ?? DEFAULT_RUN, arch.id, seed);
  context.kept = folder;
  checkRanks(flags, settings.batchSize, launch);
  if (!launch && (flags.ranks ?? 1) > 1) {
    // They say all there is to say.
    const code = await runLocalRanks({
      count: flags.ranks as number,
      argv: process.argv.slice(1),
      signal: context.signal,
    });
    process.exitCode = context.signal.aborted && code !== 0 ? context.stoppedWith : code;
    return;
  }
  using ranks = launch && (await Ranks.join(launch.options));
  if (ranks && !ranks.leads) context.beSilent(ranks.rank);
  const { onStage, ...hooks } = context.hooks;
  onStage('open data');
  const shared = { ...hooks, skipBadImages, threads, root: sets.root, allowWhole: sets.allowWhole };
  using trainData = await openData(sets.train, { ...shared, where: sets.where.train, split: 'train' });
  using testData = await openData(sets.test, { ...shared, where: sets.where.test, split: 'test' });
  tellIncomplete(sets.suite?.train, trainData, hooks);
  tellIncomplete(sets.suite?.test, testData, hooks);
  onStage(`train seed ${seed}`);
  const data = { train: trainData, test: testData };
  const place = { threads, workers, folder, allowChange, ranks };
  const mode = await trainMode({ arch, seed, ...data, settings, transform, ...place }, hooks);
  const { checkpoint, isNew, result, resumedAt } = mode;
  if (ranks && !ranks.leads) return;
  if (flags.json) {
    const sha256 = await weightsHash(checkpoint, context.signal);
    context.printJson({ checkpoint, arch: arch.id, seed, isNew, sha256, resumedAt, ...result });
    return;
  }
  if (!result) {
    context.print(`${checkpoint}: finished before, with the same settings`);
    return;
  }
  const { accuracy, top5, loss, seconds, imagesPerSecond } = result;
  const speed = `${duration(seconds)}, ${Math.round(imagesPerSecond)} images/s`;
  context.print(
    `${checkpoint}: test accuracy ${accuracy.toFixed(2)} % (top-5 ${top5.toFixed(2)} %), loss ${loss.toFixed(4)}, ${speed}`,
  );
}

function checkRanks({ ranks }: Flags, batchSize: number, launch: Launch | undefined): void {
  const { size } = launch?.options ?? { size: ranks ?? 1 };
  if (ranks !== undefined && ranks !== size) {
    throw new ConfigError(`--ranks: expected ${size}, as many as ${launch?.by} has started, found ${ranks}`);
  }
  if (batchSize % size === 0) return;
  const near = Math.max(size, Math.round(batchSize / size) * size);
  throw new ConfigError(
    `--batch-size: expected a multiple of the ${size} ranks, which share it, for instance ${near}, found ${batchSize}`,
  );
}

/** The training and the test data, not opened yet. */
function trainSets(flags: Flags) {
  checkSuite(flags);
  const { in: own, test, suite, data = DEFAULT_DATA, root } = flags;
  if (suite !== undefined && test !== undefined) {
    throw new ConfigError('--suite: expected either --suite or --test, found both');
  }
  const sets = chooseSets({ in: own, suite, data, root, needsOut: false }, (field) => `--${field}`);
  const train = sets.in.spec;
  if (sets.suite && !sets.suite.train.spec) {
    throw new ModeEnsembleError('E_DATA', `--suite: ${missingSentence(sets.suite.train)}`);
  }
  if (test === undefined && train.split === 'test') {
    throw new ConfigError('--in: expected training data, found ?split=test; name the test data with --test');
  }
  return {
    suite: sets.suite,
    root: sets.in.root,
    train,
    test: test === undefined ? { ...train, split: undefined } : parseDataSpec(test, '--test'),
    // Without --test the two parts come from one set, which must then be divided.
    allowWhole: test !== undefined,
    where: { train: sets.in.where, test: suite === undefined ? '--test' : sets.in.where },
  };
}
