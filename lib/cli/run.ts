import type { Command } from 'commander';
import { loadExperiment } from '../config/load.js';
import type { Experiment } from '../config/schema.js';
import { formatTables } from '../report/tables.js';
import { resultsJson } from '../run/results.js';
import { runExperiment } from '../run/run.js';
import type { CommandContext } from './context.js';
import { addMachineOptions, addMeasureOptions, fieldOption, given, intervalsOf, type MeasureFlags } from './options.js';
import { duration } from './progress.js';

interface Flags
  extends Partial<Pick<Experiment, 'run' | 'root' | 'seeds' | 'device' | 'threads' | 'workers' | 'skipBadImages'>>,
    MeasureFlags {
  epochs?: number;
  batchSize?: number;
  precision?: Experiment['train']['precision'];
  scores?: string;
  json?: true;
}

export function addRun(program: Command, context: CommandContext): void {
  const command = program
    .command('run')
    .summary('the main job: train what is missing, extract, evaluate, report')
    .description(
      'Runs an experiment file: trains the modes that are missing, passes each data set once through all of them, ' +
        'evaluates each mode and their ensembles, and writes the results and a report into the run ' +
        'folder. A run that was stopped goes on from what is finished. Flags override the file.',
    )
    .argument('<experiment>', 'experiment file (YAML)')
    .option('--run <dir>', 'run folder')
    .option('--root <dir>', 'base of relative data paths')
    .addOption(fieldOption('--seeds <list>', 'seeds', 'seeds of the modes, for instance 1000,1100,1200'))
    .addOption(fieldOption('--epochs <n>', 'epochs', 'of the training'))
    .addOption(fieldOption('--batch-size <n>', 'batchSize', 'of the training'))
    .addOption(
      fieldOption('--precision <name>', 'precision', 'of the training: float32 or bfloat16; on a GPU also tf32'),
    );
  addMeasureOptions(addMachineOptions(command))
    .option('--scores <dir>', 'also write all scores: <dir>/<detector>/<members>/<data set>.npy')
    .option('--skip-bad-images', 'pass over images that cannot be decoded; count and list them')
    .option('--json', 'print the results as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ mode-ensemble run experiments/builtin.yaml
  $ mode-ensemble run experiments/builtin.yaml --seeds 1,2 --epochs 2 --run runs/quick
  $ mode-ensemble run experiments/cifar10-small.yaml --root ~/data --scores runs/cifar10-small/scores`,
    )
    .action((file: string, flags: Flags) => run(file, flags, context));
}

async function run(file: string, flags: Flags, context: CommandContext): Promise<void> {
  const experiment = override(loadExperiment(file), flags);
  context.kept = experiment.run;
  const began = Date.now();
  const { scores } = flags;
  const result = await runExperiment(experiment, { ...context.hooks, where: file, scores });
  const { evaluation, folder, report, trained, reused, features } = result;
  if (flags.json) {
    context.printJson({
      folder,
      report: report.html,
      trained,
      reused,
      features,
      ...JSON.parse(resultsJson(evaluation, result)),
    });
    return;
  }
  context.print(formatTables(evaluation));
  const modes = [
    trained.length > 0 ? `trained ${trained.join(', ')}` : '',
    reused.length > 0 ? `reused ${reused.join(', ')}` : '',
  ];
  const seconds = (Date.now() - began) / 1000;
  context.print(`\nSeeds: ${modes.filter((text) => text !== '').join('; ')}. Time: ${duration(seconds)}.`);
  context.print(`Results: ${folder} (results.csv, results.json, curves.json, report.md, report.tex, figures)`);
  context.print(`Report: ${report.html}`);
}

/** The experiment with what the flags say in place of what the file says. */
export function override(experiment: Experiment, flags: Flags): Experiment {
  const { epochs, batchSize, precision, convention, scores: _scores, json: _json, ...rest } = flags;
  const { intervals: _intervals, intervalLevel: _level, intervalSeed: _seed, ...others } = rest;
  const train = { ...experiment.train, ...given({ epochs, batchSize, precision }) };
  const intervals = intervalsOf(flags, experiment.evaluate.intervals);
  const evaluate = { ...experiment.evaluate, ...given({ convention, intervals }) };
  return { ...experiment, ...given(others), train, evaluate };
}
