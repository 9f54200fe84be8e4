/** The main job. */
import type { Assignment, Failure, Outcome, TaskEvent } from '../cluster/executor.js';
import { runLocally } from '../cluster/local.js';
import { runOnSlurm } from '../cluster/slurm.js';
import { ConfigError } from '../config/errors.js';
import { completeExperiment, expandModels, loadExperiment } from '../config/load.js';
import type { Experiment, ExperimentInput } from '../config/schema.js';
import type { Architectures } from '../modes/arch.js';
import type { Addon, SkippedImage } from '../native/contract.js';
import { getAddon } from '../native/load.js';
import { clusterOf } from './cluster-settings.js';
import { checkDevice } from './device.js';
import { type Plan, planExperiment } from './experiment.js';
import type { StageHooks } from './extract.js';
import { openRunFolder } from './folder.js';
import { makeGraph, type Step } from './graph.js';
import { Journal } from './journal.js';
import { lockRun } from './lock.js';
import { writeScores } from './results.js';
import { type ReportFiles, reportFiles } from './run-report.js';
import type { ChosenSets } from './sets.js';
import { enterOutcomes, slurmPlace } from './slurm-place.js';
import { checkModes, tellStale } from './stale.js';
import { KINDS, lookAt } from './step-kinds.js';
import { readKept } from './step-report.js';
import { requireShares } from './train-sets.js';
import type { Evaluation } from './types.js';
import { Work } from './work.js';

export interface RunHooks extends StageHooks {
  /** What errors name; default: the experiment's file, or `experiment`. */
  where?: string | undefined;
  /** Where the scores go, `<scores>/<detector>/<members>/<data set>.npy`; without it they are not written. */
  scores?: string | undefined;
  /** Modes that were trained with other settings are put aside and trained again, instead of being an error. */
  update?: boolean | undefined;
  /** Told what failed, and what was not begun for that reason, before the run ends with the first failure. */
  onFailed?: ((outcome: Outcome) => void) | undefined;
  /** Told of each step that begins or ends. */
  onTask?: ((event: TaskEvent) => void) | undefined;
  addon?: Addon | undefined;
}

export interface RunResult {
  /** Of the first architecture. */
  evaluation: Evaluation;
  /** One for each architecture. */
  evaluations: Evaluation[];
  /** The run folder. */
  folder: string;
  /** Of the first architecture. */
  report: ReportFiles;
  /** One for each architecture. */
  reports: ReportFiles[];
  /** Seeds trained now, and those that were finished before, of all architectures. */
  trained: number[];
  reused: number[];
  /** Feature files made now, and those that were there. */
  features: { made: number; reused: number };
  /** Steps done now, and those whose results were there. */
  steps: { done: number; found: number };
  /** Images passed over because they cannot be decoded, by data set; only with skipBadImages. */
  skipped: Record<string, number>;
  /** These images and what is wrong with them, as far as they are known, the first hundred. */
  skippedImages: Record<string, SkippedImage[]>;
}

/**
 * The main job: trains the modes that are missing, passes each data set once through all of them, evaluates, and
 * writes experiment.json, results.csv, results.json, curves.json, the report and, where it is asked for, a loss landscape into the
 * run folder. It goes in small steps: what is
 * finished there is used again, a run that was stopped goes on from it, and a step that fails keeps from being done only those
 * that need it.
 *
 * @param experiment a YAML file, or its content as an object
 * @throws ModeEnsembleError E_CONFIG, E_DATA, E_IO, E_ABORTED, …: of several failures the first; finished steps stay
 * @example
 * const { evaluation } = await runExperiment('experiments/builtin.yaml', { onStage: console.error });
 */
export async function runExperiment(experiment: ExperimentInput | string, hooks: RunHooks = {}): Promise<RunResult> {
  const { complete, where } = completeOf(experiment, hooks);
  const addon = hooks.addon ?? getAddon();
  const models = planModels(complete, where, addon);
  checkDevice(complete, addon, where);
  const folder = await openRunFolder(complete.run);
  using _lock = lockRun(folder, addon);
  using work = await Work.open({ models, folder, addon, hooks });
  const steps = makeGraph(models);
  await checkModes(work, steps, hooks.update ?? false);
  const journal = new Journal(folder.journal);
  enterOutcomes(journal, folder);
  const done = await findDone(work, steps, journal);
  tellStale(work, steps, journal, done);
  const found = new Set(done.keys());
  const assignment: Assignment<Step> = {
    tasks: steps,
    done: found,
    look: (step) => lookAt(work, step),
    perform: (group) => {
      const { kind } = group[0] as Step;
      work.keepNetworks(kind === 'extract');
      return KINDS[kind].perform(work, group);
    },
    tell: (event) => {
      journal.write(event);
      hooks.onTask?.(event);
    },
    signal: hooks.signal,
  };
  const cluster = clusterOf(complete);
  const execute = {
    local: () => runLocally(assignment),
    slurm: () => runOnSlurm(assignment, slurmPlace(work, complete, cluster, where)),
  };
  const outcome = await execute[cluster.executor]();
  endWell(outcome, hooks);
  return resultOf(work, steps, found, hooks.scores);
}

export function completeOf(
  experiment: ExperimentInput | string,
  hooks: Pick<RunHooks, 'where'>,
): { complete: Experiment; where: string } {
  const isFile = typeof experiment === 'string';
  const where = hooks.where ?? (isFile ? experiment : 'experiment');
  return { complete: isFile ? loadExperiment(experiment) : completeExperiment(experiment, where), where };
}

/**
 * One plan for each architecture.
 *
 * @throws ModeEnsembleError E_CONFIG, also where two of them are the same network; E_DATA where a suite's sets are missing
 */
export function planModels(
  experiment: Experiment,
  where: string,
  architectures: Architectures,
  given?: ChosenSets,
): Plan[] {
  const plans = expandModels(experiment).map((one) => planExperiment(one, where, architectures, given));
  for (const [index, { arch, experiment: own }] of plans.entries()) {
    const before = plans.slice(0, index).find((other) => other.arch.id === arch.id);
    if (before) {
      const field = experiment.models ? 'models' : 'arch';
      const both = `"${before.experiment.arch}" and "${own.arch}", which are both ${arch.id}`;
      throw new ConfigError(`${where}: ${field}: expected each architecture once, found ${both}`);
    }
    requireShares(own.train.batchSize, own.ranks ?? 1, `${where}: train.batchSize`);
  }
  return plans;
}

/** Which steps' results are there, with their keys; entered in the journal. */
export async function findDone(work: Work, steps: readonly Step[], journal?: Journal): Promise<Map<string, string>> {
  const done = new Map<string, string>();
  const lost = new Set<string>();
  for (const step of steps) {
    if (step.needs.some((need) => lost.has(need))) {
      lost.add(step.id);
      continue;
    }
    const { key, isDone } = await lookAt(work, step);
    if (!isDone || key === undefined) {
      lost.add(step.id);
      continue;
    }
    done.set(step.id, key);
    journal?.found(step.id, key);
  }
  return done;
}

/** @throws the first failure, where there is one */
function endWell(outcome: Outcome, hooks: RunHooks): void {
  const [first] = outcome.failed;
  if (!first) return;
  hooks.onFailed?.(outcome);
  throw errorOf(first);
}

function errorOf({ error, step, message }: Failure): unknown {
  return error ?? new Error(`${step}: ${message}`);
}

async function resultOf(
  work: Work,
  steps: readonly Step[],
  found: ReadonlySet<string>,
  scores: string | undefined,
): Promise<RunResult> {
  const { models, folder } = work.settings;
  const kept = [];
  for (const model of models.keys()) kept.push(await readKept(work, model));
  const evaluations = kept.map(({ evaluation }) => evaluation);
  if (scores !== undefined) for (const one of evaluations) await writeScores(scores, one);
  const features = { ...work.features };
  const seeds = (isFound: boolean) =>
    steps.flatMap(({ kind, id, seed = 0 }) => (kind === 'train' && found.has(id) === isFound ? [seed] : []));
  for (const { id, kind, model = 0, seed = 0, set } of steps) {
    if (kind !== 'extract' || !set || !found.has(id)) continue;
    features.reused += (await work.filesOf(model, seed, set))?.length ?? 0;
  }
  const reports = await Promise.all([...models.keys()].map((model) => reportFiles(work.place(model))));
  return {
    evaluation: evaluations[0] as Evaluation,
    evaluations,
    report: reports[0] as ReportFiles,
    reports,
    folder: folder.path,
    trained: seeds(false),
    reused: seeds(true),
    features,
    steps: { done: steps.length - found.size, found: found.size },
    skipped: Object.assign({}, ...kept.map(({ images }) => images.skipped)),
    skippedImages: Object.assign({}, ...kept.map(({ images }) => images.skippedImages)),
  };
}
