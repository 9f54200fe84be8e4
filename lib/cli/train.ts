import type { Command } from 'commander';
import { ConfigError } from '../config/errors.js';
import type { TrainSettings } from '../config/schema.js';
import { resolveArch } from '../modes/arch.js';
import { modeFolder, weightsHash } from '../modes/find.js';
import { checkChangeable } from '../modes/state.js';
import { type TrainedMode, trainMode } from '../modes/train.js';
import { overrideTransform } from '../modes/transform.js';
import { resolveDevice } from '../native/device.js';
import { type Launch, launchOf, localOf, threadsOf } from '../ranks/launch.js';
import { runLocalRanks } from '../ranks/local.js';
import { Ranks } from '../ranks/ranks.js';
import { requireSuiteSize } from '../run/sets.js';
import { flagName } from '../run/train-arguments.js';
import { chooseTrainSets, DEFAULT_RUN, openTrainSets, requireShares } from '../run/train-sets.js';
import type { CommandContext } from './context.js';
import { checkMadeUp, type MadeUpFlags, madeUpSpec, passingFolder } from './made-up.js';
import { fieldOption, trainSettings, transformOverrides } from './options.js';
import { duration } from './progress.js';
import { addTrainDataOptions, addTrainingOptions } from './train-flags.js';

interface Flags extends MadeUpFlags {
  arch: string;
  seed?: number;
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
    .requiredOption('--arch <name>', 'architecture, for instance cifar-resnet18');
  addTrainDataOptions(command)
    .addOption(fieldOption('--seed <n>', 'seed', 'of all random choices'))
    .option('--run <dir>', `run folder: the mode goes to <dir>/modes/<arch>/seed-<n> (default: ${DEFAULT_RUN})`)
    .option('--out <dir>', "the mode's own folder, instead of --run")
    .option('--root <dir>', 'base of relative data paths');
  addTrainingOptions(command)
    .option('--evaluate', 'validate the finished mode, and train nothing')
    .option(
      '--made-up-data',
      'measure the speed on noise; no file is read, and nothing is kept (with --seed 0, one epoch)',
    )
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
  const {
    skipBadImages,
    device: wanted = 'auto',
    threads = threadsOf(launch),
    workers = 2,
    madeUpData,
    evaluate,
  } = flags;
  checkMadeUp(flags);
  const seed = flags.seed ?? (madeUpData ? 0 : undefined);
  if (seed === undefined) throw new ConfigError("required option '--seed <n>' not specified");
  if (flags.run !== undefined && flags.out !== undefined) {
    throw new ConfigError('--out: expected either --run or --out, found both');
  }
  const settings = trainSettings(madeUpData ? { epochs: 1, warmupEpochs: 0, cooldownEpochs: 0, ...flags } : flags);
  const { allowChange = [] } = flags;
  checkChangeable(allowChange, '--allow-change');
  const arch = resolveArch(flags.arch, flags.width, { where: '--arch' });
  const transform = overrideTransform(arch.transform, transformOverrides(flags), '--crop');
  const { batchSize } = settings;
  const sets = chooseTrainSets(madeUpData ? { in: madeUpSpec(arch, transform, batchSize) } : flags, flagName);
  requireSuiteSize(sets, arch.id, transform, flags.crop !== undefined, { suite: '--suite', crop: '--crop' });
  checkRanks(flags, batchSize, launch);
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
  using passing = madeUpData && passingFolder();
  const folder = passing ? passing.path : (flags.out ?? modeFolder(flags.run ?? DEFAULT_RUN, arch.id, seed));
  context.kept = passing ? undefined : folder;
  using ranks = launch && (await Ranks.join(launch.options));
  if (ranks && !ranks.leads) context.beSilent(ranks.rank);
  const { onStage, ...hooks } = context.hooks;
  onStage('open data');
  using data = await openTrainSets(sets, { ...hooks, skipBadImages, threads });
  onStage(evaluate ? `evaluate seed ${seed}` : `train seed ${seed}`);
  const device = resolveDevice(wanted, { where: '--device', local: localOf(launch) });
  const place = { device, threads, workers, folder, allowChange, evaluate, ranks };
  const mode = await trainMode(
    { arch, seed, train: data.train, test: data.test, settings, transform, ...place },
    hooks,
  );
  const { checkpoint, isNew, result, resumedAt } = mode;
  if (ranks && !ranks.leads) return;
  if (passing) return printSpeed(arch.id, settings, mode, flags, context);
  if (flags.json) {
    const sha256 = await weightsHash(checkpoint, context.signal);
    context.printJson({ checkpoint, arch: arch.id, seed, isNew, sha256, resumedAt, ...result });
    return;
  }
  if (!result) {
    context.print(`${checkpoint}: finished before, with the same settings`);
    return;
  }
  const { accuracy, top5, loss, testLoss, seconds, imagesPerSecond } = result;
  const tested = `test accuracy ${accuracy.toFixed(2)} % (top-5 ${top5.toFixed(2)} %)`;
  if (evaluate)
    return context.print(`${checkpoint}: ${tested}, test loss ${testLoss.toFixed(4)}, ${duration(seconds)}`);
  const speed = `${duration(seconds)}, ${Math.round(imagesPerSecond)} images/s`;
  context.print(`${checkpoint}: ${tested}, loss ${loss.toFixed(4)}, ${speed}`);
}

function printSpeed(
  arch: string,
  { batchSize, precision }: TrainSettings,
  { result }: TrainedMode,
  { json }: Flags,
  context: CommandContext,
): void {
  const { imagesPerSecond = 0, seconds = 0 } = result ?? {};
  if (json) return context.printJson({ arch, batchSize, precision, imagesPerSecond, seconds });
  context.print(`${arch}, batch ${batchSize}, ${precision}: ${imagesPerSecond.toFixed(1)} images/s`);
}

function checkRanks({ ranks }: Flags, batchSize: number, launch: Launch | undefined): void {
  const { size } = launch?.options ?? { size: ranks ?? 1 };
  if (ranks !== undefined && ranks !== size) {
    throw new ConfigError(`--ranks: expected ${size}, as many as ${launch?.by} has started, found ${ranks}`);
  }
  requireShares(batchSize, size, '--batch-size');
}
