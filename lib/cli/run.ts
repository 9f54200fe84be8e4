import { type Command, Option } from 'commander';
import type { Outcome } from '../cluster/executor.js';
import { checkText } from '../config/check.js';
import { type ClusterSettings, clusterFields } from '../config/cluster.js';
import { ConfigError } from '../config/errors.js';
import { loadExperiment } from '../config/load.js';
import { type Experiment, fields } from '../config/schema.js';
import { suggestion } from '../config/suggest.js';
import { formatTables } from '../report/tables.js';
import { clusterOf } from '../run/cluster-settings.js';
import { planRun } from '../run/outlook.js';
import { resultsJson } from '../run/results.js';
import { type RunResult, runExperiment } from '../run/run.js';
import { verifyRun } from '../run/verify-run.js';
import type { CommandContext } from './context.js';
import { formatPlan } from './dry-run.js';
import {
  addMachineOptions,
  addMeasureOptions,
  collectList,
  fieldOption,
  given,
  intervalsOf,
  type MeasureFlags,
  modesAtOnceOption,
  searchMemoryOption,
} from './options.js';
import { duration } from './progress.js';
import { formatTable } from './table.js';

interface Flags
  extends Partial<
      Pick<
        Experiment,
        | 'run'
        | 'root'
        | 'seeds'
        | 'width'
        | 'checkpoints'
        | 'ranks'
        | 'device'
        | 'threads'
        | 'workers'
        | 'modesAtOnce'
        | 'searchMemory'
        | 'skipBadImages'
      >
    >,
    MeasureFlags {
  executor?: ClusterSettings['executor'];
  partition?: string;
  account?: string;
  gpus?: number;
  time?: string;
  pollSeconds?: number;
  arch?: string[];
  epochs?: number;
  batchSize?: number;
  precision?: Experiment['train']['precision'];
  scores?: string;
  update?: true;
  dryRun?: true;
  verify?: number | true;
  measure?: boolean;
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
    .option('--arch <names>', 'only these of its architectures, as the file names them', collectList)
    .addOption(fieldOption('--width <n>', 'width', 'channels of the first stage, of each architecture'))
    .option('--checkpoints <pattern>', 'where modes are that somebody else has trained, with {arch} and {seed} in it')
    .addOption(fieldOption('--epochs <n>', 'epochs', 'of the training'))
    .addOption(fieldOption('--batch-size <n>', 'batchSize', 'of the training'))
    .addOption(
      fieldOption('--precision <name>', 'precision', 'of the training: float32 or bfloat16; on a GPU also tf32'),
    )
    .addOption(fieldOption('--ranks <n>', 'ranks', 'processes that train one network together'))
    .addOption(
      clusterOption('--executor <name>', 'executor', 'where the steps are done: local, or slurm (default: local)'),
    )
    .addOption(clusterOption('--partition <name>', 'partition', 'of the cluster'))
    .addOption(clusterOption('--account <name>', 'account', 'that the cluster charges'))
    .addOption(clusterOption('--gpus <n>', 'gpus', 'for each step'))
    .addOption(clusterOption('--time <limit>', 'time', 'for each step, as sbatch takes it'))
    .addOption(clusterOption('--poll-seconds <n>', 'pollSeconds', 'between two looks at the queue (default: 10)'))
    .option('--dry-run', 'tell the steps, what is there, what is missing and what it costs; do nothing')
    .option('--no-measure', 'with --dry-run: without costs, which take some seconds for each architecture')
    .option(
      '--verify [cells]',
      'make some cells of finished results again, drawn at random, and compare (default: 3)',
      (text) => checkText(fields.k, text, '--verify'),
    )
    .option('--update', 'put modes aside that were trained with other settings, and train them again');
  addMeasureOptions(addMachineOptions(command))
    .addOption(modesAtOnceOption())
    .addOption(searchMemoryOption())
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

function clusterOption(flags: string, field: keyof typeof clusterFields, description: string): Option {
  const option = new Option(flags, description);
  return option.argParser((text: string) => checkText(clusterFields[field], text, option.long as string));
}

async function run(file: string, flags: Flags, context: CommandContext): Promise<void> {
  const experiment = override(loadExperiment(file), flags, (message) => context.progress.line(`warning: ${message}`));
  if (flags.dryRun) {
    const plan = await planRun(experiment, { ...context.hooks, where: file, measure: flags.measure });
    if (flags.json) context.printJson(plan);
    else context.print(formatPlan(plan));
    return;
  }
  if (flags.verify !== undefined) return verify(experiment, flags, { file, context });
  context.kept = experiment.run;
  const began = Date.now();
  const { scores, update } = flags;
  const onFailed = (outcome: Outcome) => tellFailures(outcome, context);
  const result = await runExperiment(experiment, { ...context.hooks, where: file, scores, update, onFailed });
  if (flags.json) printJson(result, context);
  else printText(result, (Date.now() - began) / 1000, context);
}

/** Made again and compared; the exit code is 1 where one differs. */
async function verify(
  experiment: Experiment,
  { verify: wanted, json }: Flags,
  { file, context }: { file: string; context: CommandContext },
): Promise<void> {
  const cells = wanted === true ? undefined : wanted;
  const result = await verifyRun(experiment, { ...context.hooks, where: file, cells });
  if (result.cells.some(({ isEqual }) => !isEqual)) process.exitCode = 1;
  if (json) return context.printJson(result);
  const rows = result.cells.map(({ arch, out, detector, members, difference, metric, isEqual }) => {
    const words = difference === 0 ? 'the same' : `${metric} differs by ${difference.toExponential(1)}`;
    return [arch, out, detector, members, isEqual ? words : `NOT the same: ${words}`];
  });
  context.print(formatTable(['architecture', 'OoD', 'detector', 'members', 'made again'], rows));
  context.print(`\n${result.cells.length} of ${result.of} cells were made again.`);
}

function printJson(result: RunResult, context: CommandContext): void {
  const { folder, report, reports, trained, reused, features, steps, evaluations } = result;
  const [first, ...others] = evaluations.map((evaluation) => JSON.parse(resultsJson(evaluation, result)));
  const archs = others.length > 0 ? { reports: reports.map(({ html }) => html), archs: [first, ...others] } : first;
  context.printJson({ folder, report: report.html, trained, reused, features, steps, ...archs });
}

function printText(result: RunResult, seconds: number, context: CommandContext): void {
  const { folder, reports, trained, reused, steps, evaluations } = result;
  for (const evaluation of evaluations) {
    if (evaluations.length > 1) context.print(`${evaluation.arch}\n`);
    context.print(formatTables(evaluation));
  }
  const modes = [
    trained.length > 0 ? `trained ${trained.join(', ')}` : '',
    reused.length > 0 ? `reused ${reused.join(', ')}` : '',
  ];
  const done = `Steps: ${steps.done} done, ${steps.found} there before. Time: ${duration(seconds)}.`;
  context.print(`\nSeeds: ${modes.filter((text) => text !== '').join('; ')}. ${done}`);
  const files = 'results.csv, results.json, curves.json, report.md, report.tex, figures';
  context.print(`Results: ${folder} (${evaluations.length > 1 ? 'results.csv, results.json, archs' : files})`);
  for (const { html } of reports) context.print(`Report: ${html}`);
}

/** What failed, what was not begun for that reason, and how to go on; the error itself comes last. */
function tellFailures({ failed, blocked }: Outcome, context: CommandContext): void {
  for (const { step, message } of failed) context.progress.line(`failed: ${step}: ${message}`);
  if (blocked.length > 0) context.progress.line(`not begun, as they need what failed: ${blocked.join(', ')}`);
  const count = `${failed.length} ${failed.length === 1 ? 'step' : 'steps'} failed`;
  context.progress.line(`${count}; the same command tries again, and does nothing twice that is done`);
}

/**
 * The experiment with what the flags say in place of what the file says.
 *
 * @param tell told of what the file asks for and the flags make impossible
 * @throws ConfigError
 */
export function override(experiment: Experiment, flags: Flags, tell: (message: string) => void = () => {}): Experiment {
  const { epochs, batchSize, precision, convention, scores: _scores, json: _json, update: _update, ...more } = flags;
  const {
    dryRun: _dryRun,
    measure: _measure,
    verify: _verify,
    executor,
    partition,
    account,
    gpus,
    time,
    pollSeconds,
    ...rest
  } = more;
  const ofCluster = given({ executor, partition, account, gpus, time, pollSeconds });
  const cluster = Object.keys(ofCluster).length > 0 ? { ...clusterOf(experiment), ...ofCluster } : experiment.cluster;
  const { intervals: _intervals, intervalLevel: _level, intervalSeed: _seed, arch: archs, ...others } = rest;
  const ofTraining = given({ epochs, batchSize, precision });
  const train = { ...experiment.train, ...ofTraining };
  const intervals = intervalsOf(flags, experiment.evaluate.intervals);
  const evaluate = { ...experiment.evaluate, ...given({ convention, intervals }) };
  const { width, checkpoints, seeds } = flags;
  const models = experiment.models?.map((model) => ({
    ...model,
    ...given({ width, checkpoints, seeds }),
    train: { ...model.train, ...ofTraining },
  }));
  const whole = { ...experiment, ...given(others), train, evaluate, ...given({ models, cluster }) };
  const chosen = archs === undefined ? whole : only(whole, archs);
  return seeds === undefined ? chosen : withoutLost(chosen, seeds, tell);
}

/** Some of the architectures. @throws ConfigError for one that the experiment does not have */
function only(experiment: Experiment, archs: readonly string[]): Experiment {
  const { arch, models } = experiment;
  const known = models?.map((model) => model.arch) ?? [arch ?? []].flat();
  const wanted = archs.map((name) => {
    const found = known.find((other) => other.toLowerCase() === name.toLowerCase());
    if (found === undefined)
      throw new ConfigError(`--arch: the experiment has no "${name}"; ${suggestion(name, known)}`);
    return found;
  });
  if (models) return { ...experiment, models: models.filter((model) => wanted.includes(model.arch)) };
  return { ...experiment, arch: wanted };
}

/** Ensembles that the file lists can be made of the seeds that the flags leave, or are left out. */
function withoutLost(experiment: Experiment, seeds: readonly number[], tell: (message: string) => void): Experiment {
  const { ensembles } = experiment.evaluate;
  const lists = Array.isArray(ensembles) ? ensembles : typeof ensembles === 'object' ? (ensembles.lists ?? []) : [];
  const [kept, lost] = [true, false].map((isWhole) =>
    lists.filter((list) => list.every((seed) => seeds.includes(seed)) === isWhole),
  ) as [number[][], number[][]];
  if (lost.length === 0) return experiment;
  // Flags that leave nothing of what the file asks for are a mistake.
  if (Array.isArray(ensembles) && kept.length === 0) return experiment;
  const names = lost.map((list) => list.join('+')).join(', ');
  tell(`--seeds: without all of its modes ${names} is left out`);
  const left = Array.isArray(ensembles)
    ? kept
    : { ...(ensembles as object), lists: kept.length > 0 ? kept : undefined };
  return { ...experiment, evaluate: { ...experiment.evaluate, ensembles: left as typeof ensembles } };
}
