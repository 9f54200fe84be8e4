import { relative } from 'node:path';
import { writeFileAtomic } from '../config/files.js';
import { completeExperiment, loadExperiment } from '../config/load.js';
import type { ExperimentInput } from '../config/schema.js';
import { VERSION } from '../config/version.js';
import { type DataSet, openData } from '../data/open.js';
import type { Split } from '../data/spec.js';
import type { FoundSet } from '../data/suite.js';
import { FeatureStore } from '../features/store.js';
import { weightsHash } from '../modes/find.js';
import { requireSameClasses, type TrainedMode, trainMode } from '../modes/train.js';
import type { Addon, SkippedImage } from '../native/contract.js';
import { resolveDevice } from '../native/device.js';
import { getAddon } from '../native/load.js';
import { curvesOf } from '../report/index.js';
import { besideOf } from './beside.js';
import { curvesJson } from './curves-file.js';
import { evaluate } from './evaluate.js';
import { needsTrainFeatures, type Plan, passesOf, planExperiment } from './experiment.js';
import {
  type ExtractedFeatures,
  type ExtractedMember,
  type ExtractSettings,
  extractFeatures,
  type StageHooks,
  servicesOf,
} from './extract.js';
import { openRunFolder, type RunFolder } from './folder.js';
import { networksOf } from './networks.js';
import { writeResults, writeScores } from './results.js';
import { landscapeOfRun } from './run-landscape.js';
import { type ReportFiles, reportRun } from './run-report.js';
import { type ChosenSet, keepWarnings, partOf, tellIncomplete, tellMissing } from './sets.js';
import { togetherOf } from './together.js';
import type { Evaluation } from './types.js';

export interface RunHooks extends StageHooks {
  /** What errors name; default: the experiment's file, or `experiment`. */
  where?: string | undefined;
  /** Where the scores go, `<scores>/<detector>/<members>/<data set>.npy`; without it they are not written. */
  scores?: string | undefined;
  addon?: Addon | undefined;
}

export interface RunResult {
  evaluation: Evaluation;
  /** The run folder. */
  folder: string;
  report: ReportFiles;
  /** Seeds trained now, and those that were finished before. */
  trained: number[];
  reused: number[];
  /** Feature files made now, and those that were there. */
  features: { made: number; reused: number };
  /** Images passed over because they cannot be decoded, by data set; only with skipBadImages. */
  skipped: Record<string, number>;
  /** These images and what is wrong with them, as far as they are known, the first hundred. */
  skippedImages: Record<string, SkippedImage[]>;
}

/** The sets of an experiment, opened. */
interface Sets extends Disposable {
  train: DataSet;
  test: DataSet;
  out: DataSet[];
}

/**
 * The main job: trains the modes that are missing, passes each data set once through all of them, evaluates, and
 * writes experiment.json, results.csv, results.json, curves.json, the report and, where it is asked for, a loss landscape into the run folder. What is finished there is
 * used again; a run that was stopped goes on from it.
 *
 * @param experiment a YAML file, or its content as an object
 * @throws ModeEnsembleError E_CONFIG, E_DATA, E_IO, E_ABORTED, …; finished modes and features stay
 * @example
 * const { evaluation } = await runExperiment('experiments/builtin.yaml', { onStage: console.error });
 */
export async function runExperiment(experiment: ExperimentInput | string, hooks: RunHooks = {}): Promise<RunResult> {
  const isFile = typeof experiment === 'string';
  const where = hooks.where ?? (isFile ? experiment : 'experiment');
  const complete = isFile ? loadExperiment(experiment) : completeExperiment(experiment, where);
  const addon = hooks.addon ?? getAddon();
  const plan = planExperiment(complete, where, addon);
  const device = resolveDevice(complete.device, { addon, where: `${where}: device` });
  const folder = await openRunFolder(complete.run);
  const { hooks: heard, warnings } = keepWarnings(hooks);
  using sets = await openSets(plan, addon, heard);
  const place: Place = { folder, device };
  const modes = await trainModes(plan, sets, place, addon, hooks);
  const members = await describeModes(plan, sets.train.classes.length, modes, hooks.signal);
  const settings = extractSettings(plan, sets, members, place, addon);
  const networks = networksOf(settings, heard);
  const beside = besideOf(plan.detectors, networks, heard);
  const extracted = await extractFeatures({ ...settings, beside }, heard);
  hooks.onStage?.('evaluate');
  const evaluation = await evaluate(
    {
      in: plan.sets.in.spec.name,
      members: extracted.members,
      ensembles: plan.ensembles,
      detectors: plan.detectors,
      fusion: complete.evaluate.fusion,
      threads: complete.threads,
      convention: complete.evaluate.convention,
      intervals: complete.evaluate.intervals,
    },
    hooks,
    { ...servicesOf(addon), together: togetherOf(settings, hooks), networks },
  );
  evaluation.warnings.unshift(...warnings);
  const { text } = await writeResults(folder.path, evaluation, extracted);
  await writeFileAtomic(folder.curves, curvesJson(curvesOf(evaluation), text));
  if (hooks.scores !== undefined) await writeScores(hooks.scores, evaluation);
  const record = describeRun(plan, sets, members, extracted, folder, addon);
  await writeFileAtomic(folder.settings, `${JSON.stringify(record, null, 2)}\n`);
  if (complete.landscape) {
    const made = { members, test: sets.test, out: sets.out, folder: folder.path, addon };
    await landscapeOfRun(plan, complete.landscape, made, hooks);
  }
  const report = await reportRun(folder.path);
  return {
    evaluation,
    report,
    folder: folder.path,
    trained: modes.filter(({ isNew }) => isNew).map(({ seed }) => seed),
    reused: modes.filter(({ isNew }) => !isNew).map(({ seed }) => seed),
    features: { made: extracted.made, reused: extracted.reused },
    skipped: extracted.skipped,
    skippedImages: extracted.skippedImages,
  };
}

/** Opens all sets before anything is trained: what is missing shows in the first second. */
async function openSets(plan: Plan, addon: Addon, hooks: StageHooks): Promise<Sets> {
  const { skipBadImages, threads } = plan.experiment;
  const { sets } = plan;
  hooks.onStage?.('open data');
  tellMissing(sets, hooks);
  const { signal, onProgress, onLog } = hooks;
  const shared = { signal, onProgress, onLog, skipBadImages, threads, addon };
  const opened: DataSet[] = [];
  const dispose = () => {
    for (const set of opened) set.dispose();
  };
  const open = async ({ spec, where, root }: ChosenSet, part: FoundSet | undefined, split?: Split) => {
    const set = await openData(spec, { ...shared, where, root, split });
    opened.push(set);
    tellIncomplete(part, set, hooks);
    return set;
  };
  try {
    const train = await open(sets.in, sets.suite?.train, 'train');
    const test = await open(sets.in, sets.suite?.test, 'test');
    requireSameClasses(train, test);
    const out: DataSet[] = [];
    for (const one of sets.out) out.push(await open(one, partOf(sets, one)));
    return { train, test, out, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** Where files go, and where networks compute. */
interface Place {
  folder: RunFolder;
  device: string;
}

async function trainModes(
  plan: Plan,
  sets: Sets,
  { folder, device }: Place,
  addon: Addon,
  hooks: StageHooks,
): Promise<TrainedMode[]> {
  const { arch, transform, experiment } = plan;
  const { seeds, train: settings, threads, workers } = experiment;
  const modes: TrainedMode[] = [];
  for (const seed of seeds) {
    hooks.onStage?.(`train seed ${seed}`);
    const place = { folder: folder.mode(arch.id, seed), transform, addon };
    const { train, test } = sets;
    modes.push(await trainMode({ arch, seed, train, test, settings, device, threads, workers, ...place }, hooks));
  }
  return modes;
}

function describeModes(
  { arch, transform }: Plan,
  classes: number,
  modes: readonly TrainedMode[],
  signal: AbortSignal | undefined,
): Promise<ExtractedMember[]> {
  return Promise.all(
    modes.map(async ({ seed, checkpoint }) => ({
      name: String(seed),
      checkpoint,
      weightsHash: await weightsHash(checkpoint, signal),
      arch,
      transform,
      classes,
    })),
  );
}

function extractSettings(
  plan: Plan,
  sets: Sets,
  members: readonly ExtractedMember[],
  { folder, device }: Place,
  addon: Addon,
): ExtractSettings {
  const { experiment, detectors } = plan;
  const { threads, workers, evaluate: settings } = experiment;
  return {
    members,
    sets: { train: needsTrainFeatures(detectors) ? sets.train : undefined, test: sets.test, out: sets.out },
    passes: passesOf(detectors),
    store: new FeatureStore(folder.features),
    batchSize: settings.batchSize,
    precision: settings.precision,
    storage: settings.storage,
    device,
    threads,
    workers,
    addon,
  };
}

/** What experiment.json holds. */
function describeRun(
  plan: Plan,
  sets: Sets,
  members: readonly ExtractedMember[],
  extracted: ExtractedFeatures,
  folder: RunFolder,
  addon: Addon,
) {
  const { version, libtorch, cpuCapability, compiler } = addon.info();
  const about = ({ count, fingerprint }: DataSet) => ({ count, fingerprint });
  return {
    experiment: { ...plan.experiment, arch: plan.arch.name, width: plan.arch.width },
    detectors: plan.detectors,
    ensembles: plan.ensembles,
    versions: { 'mode-ensemble': VERSION, addon: version, node: process.versions.node, libtorch, compiler },
    machine: { platform: process.platform, arch: process.arch, cpuCapability },
    data: {
      classes: sets.train.classes,
      in: { name: plan.sets.in.spec.name, train: about(sets.train), test: about(sets.test) },
      out: sets.out.map((set) => ({ name: set.name, ...about(set) })),
      skipped: extracted.skipped,
    },
    modes: members.map(({ name, checkpoint, weightsHash: sha256 }) => ({
      seed: Number(name),
      checkpoint: relative(folder.path, checkpoint),
      sha256,
    })),
  };
}
