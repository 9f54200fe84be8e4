import type { Command } from 'commander';
import { type SweepMode, type SweepResult, sweep } from '../run/sweep.js';
import { flagName } from '../run/train-arguments.js';
import { DEFAULT_RUN } from '../run/train-sets.js';
import type { CommandContext } from './context.js';
import { collectList, fieldOption, givenTrainSettings, trainSettings, transformOverrides } from './options.js';
import { duration } from './progress.js';
import { SweepProgress } from './sweep-progress.js';
import { formatTable } from './table.js';
import { addTrainDataOptions, addTrainingOptions, type TrainFlags } from './train-flags.js';

interface Flags extends TrainFlags {
  arch: string[];
  seeds: number[];
  parallel?: number;
}

export function addSweep(program: Command, context: CommandContext): void {
  const command = program
    .command('sweep')
    .summary('train many modes: architectures × seeds')
    .description(
      'Trains each architecture from each seed, with the settings of train. Modes that are finished are not trained again; ' +
        'those that were stopped go on where they were. A mode that fails does not keep the others from being trained; the exit ' +
        'code is 1 then. --threads are those of all trainings together, divided evenly.',
    )
    .requiredOption('--arch <names>', 'architectures, for instance R18,wrn-16-8; may be given many times', collectList);
  addTrainDataOptions(command)
    .addOption(
      fieldOption('--seeds <list>', 'seeds', 'seeds of each, for instance 1000,1100,1200').makeOptionMandatory(),
    )
    .option('--run <dir>', `run folder: modes go to <dir>/modes/<arch>/seed-<n> (default: ${DEFAULT_RUN})`)
    .addOption(fieldOption('--parallel <n>', 'parallel', 'trainings at a time (default: 1)'))
    .option('--root <dir>', 'base of relative data paths');
  addTrainingOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble sweep --arch cifar-resnet18 --width 16 --seeds 1,2,3 --in builtin:shapes --epochs 8
  $ mode-ensemble sweep --arch R18,WRN28X10 --seeds 1000,1100 --in cifar10:data/cifar-10-batches-bin --run runs/cifar10
  $ mode-ensemble sweep --arch cifar-resnet18-w8 --arch cifar-resnet18-w16 --seeds 1,2 --in builtin:shapes --parallel 2`,
    )
    .action((flags: Flags) => runSweep(flags, context));
}

async function runSweep(flags: Flags, context: CommandContext): Promise<void> {
  const { arch, width, seeds, in: own, test, suite, data, root, run = DEFAULT_RUN } = flags;
  const { allowChange, skipBadImages, parallel, device, threads, workers, ranks } = flags;
  // For what the flags contradict each other in.
  trainSettings(flags);
  context.kept = run;
  const progress = new SweepProgress();
  context.progress = progress;
  const { signal, onStage, onProgress, onLog } = context.hooks;
  const began = Date.now();
  const settings = {
    ...{ arch, width, seeds, in: own, test, suite, data, root, run },
    ...{ train: givenTrainSettings(flags), transform: transformOverrides(flags), allowChange, skipBadImages },
    ...{ parallel, device, threads, workers, ranks },
  };
  let result: SweepResult;
  try {
    result = await sweep(settings, {
      ...{ signal, onStage, onProgress, onLog, nameField: flagName },
      onModes: (modes) => progress.begin(modes),
      onMode: (mode) => progress.update(mode),
    });
  } finally {
    progress.end();
  }
  if (flags.json) context.printJson(resultJson(result));
  else context.print(resultText(result, (Date.now() - began) / 1000));
  tellFailures(result, context);
}

/** The result without what is of use only while it goes on. */
function resultJson({ run, modes, archs }: SweepResult) {
  const finished = modes.map((mode) => {
    const { epoch: _epoch, epochs: _epochs, share: _share, goesOn: _goesOn, secondsLeft: _left, ...rest } = mode;
    return rest;
  });
  return { run, modes: finished, archs };
}

const WORDS = { finished: 'trained', skipped: 'there before', failed: 'failed' } as const;

function resultText({ run, modes, archs }: SweepResult, seconds: number): string {
  const number = (value: number | undefined, places: number) => (value === undefined ? '–' : value.toFixed(places));
  const rows = modes.map(({ arch, seed, state, accuracy, top5, loss, seconds: time }) => [
    arch,
    String(seed),
    WORDS[state as keyof typeof WORDS] ?? state,
    number(accuracy, 2),
    number(top5, 2),
    number(loss, 4),
    time === undefined ? '–' : duration(time),
  ]);
  const head = ['architecture', 'seed', 'mode', 'accuracy %', 'top-5 %', 'training loss', 'time'];
  const means = archs.map(({ arch, accuracy }) => {
    if (!accuracy) return [arch, '0', '–', '–'];
    const { n, mean, std, min, max } = accuracy;
    const spread = std === null ? mean.toFixed(2) : `${mean.toFixed(2)} ± ${std.toFixed(2)}`;
    return [arch, String(n), spread, `${min.toFixed(2)}–${max.toFixed(2)}`];
  });
  const count = (state: SweepMode['state']) => modes.filter((mode) => mode.state === state).length;
  const sums = `Trained ${count('finished')}, there before ${count('skipped')}, failed ${count('failed')}.`;
  return [
    formatTable(head, rows, [1, 3, 4, 5, 6]),
    formatTable(['architecture', 'modes', 'accuracy %: mean ± std', 'min–max'], means, [1, 2, 3]),
    `${sums} Time: ${duration(seconds)}. Modes: ${run}/modes`,
  ].join('\n\n');
}

/** Each failure's reason, last: where a person looks. */
function tellFailures({ modes }: SweepResult, context: CommandContext): void {
  const failed = modes.filter(({ state }) => state === 'failed');
  if (failed.length === 0) return;
  process.exitCode = 1;
  for (const { arch, seed, error } of failed) {
    context.progress.line(`${context.name}: ${arch} seed ${seed}: ${error?.message}`);
  }
  const which = failed.length === modes.length ? 'all' : `${failed.length} of ${modes.length}`;
  context.progress.line(`${context.name}: ${which} modes failed; the same command tries them again`);
}
