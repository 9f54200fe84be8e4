/** Evaluation of checkpoints that are there, without an experiment: accuracy, and OoD detection. */
import { describe } from '../config/describe.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { makeWritableFolder } from '../config/folders.js';
import type { EvaluateSettings, TransformSettings } from '../config/schema.js';
import { type DataSet, type OpenDataSettings, openData } from '../data/open.js';
import { warn } from '../data/suite.js';
import type { FusionName } from '../ensemble/index.js';
import { type Pass, PLAIN } from '../features/pass.js';
import { FeatureStore } from '../features/store.js';
import type { ConventionName, IntervalSettings } from '../metrics/index.js';
import { type CheckpointSet, openCheckpoints } from '../modes/checkpoints.js';
import type { Addon, Precision, Storage, TransformOptions } from '../native/contract.js';
import { resolveDevice } from '../native/device.js';
import { getAddon } from '../native/load.js';
import { besideOf } from './beside.js';
import { archOf } from './check-spaces.js';
import { type MeasuredAccuracy, measureAccuracy } from './clean.js';
import { evaluate } from './evaluate.js';
import {
  chooseDetectors,
  chooseEnsembles,
  defaultsFor,
  type EnsembleWish,
  needsTrainFeatures,
  passesOf,
} from './experiment.js';
import { type ExtractSettings, extractFeatures, type StageHooks, servicesOf } from './extract.js';
import { networksOf } from './networks.js';
import { openTogether } from './opened.js';
import type { SkippedImages } from './results.js';
import {
  type ChosenSet,
  type ChosenSets,
  chooseSets,
  keepWarnings,
  partOf,
  requireSuiteSize,
  tellIncomplete,
  tellMissing,
} from './sets.js';
import { togetherOf } from './together.js';
import type { Evaluation } from './types.js';
import { usableDetectors } from './usable-detectors.js';

export interface CheckpointSettings {
  checkpoints: readonly string[];
  /** In-distribution data; its test part is taken where the name has no `?split=`. */
  in?: string | undefined;
  /** A suite, instead of `in`: its in-distribution set and its OoD sets that are there. */
  suite?: string | undefined;
  /** The folder in which the suite's sets lie; default: `data`. */
  data?: string | undefined;
  /** Base of relative data paths; default: the current directory. */
  root?: string | undefined;
  /** Where the checkpoints do not say it themselves: one for all of these, or one for each checkpoint. */
  arch?: string | readonly string[] | undefined;
  /** With `arch`: one for all, or one for each checkpoint. */
  width?: number | readonly number[] | undefined;
  /** An architecture whose preprocessing is taken instead of the checkpoints' own. */
  preprocessing?: string | undefined;
  /** What is to differ from the preprocessing of the checkpoints or the architecture. */
  transform?: TransformSettings | undefined;
  /** Folder of the feature store: what is there is not extracted again. */
  features: string;
  batchSize: number;
  precision: Precision;
  /** The type in which features are stored; default: float32. */
  storage?: Storage | undefined;
  /** Where the networks compute: auto, cpu, cuda or cuda:N; default: cpu. */
  device?: string | undefined;
  threads: number;
  workers: number;
  /** So many networks are open together at most; more read the images again. Default: MODES_AT_ONCE. */
  modesAtOnce?: number | undefined;
  /** MiB that training features may take which kNN searches at a time; queries come besides. Default: SEARCH_MEMORY. */
  searchMemory?: number | undefined;
  skipBadImages?: boolean | undefined;
  addon?: Addon | undefined;
  /** Default: all together. */
  ensembles?: EnsembleWish | undefined;
  /** A bootstrap over images; without it there are no intervals. */
  intervals?: IntervalSettings | undefined;
  /** What errors call a field; default: its name. */
  nameField?: ((field: string) => string) | undefined;
}

export interface OodSettings extends CheckpointSettings {
  /** OoD sets, `[NAME=]READER:PATH[?split=test]`; with a suite, further ones. */
  out?: readonly string[] | undefined;
  /** In-distribution training data for detectors that learn from it; default: the train part of `in` or of the suite. */
  train?: string | undefined;
  /** Default: all that can be computed from what the networks give. */
  detectors?: EvaluateSettings['detectors'] | undefined;
  /** How FPR95 and AUPR are read off the scores; default: `reference`. */
  convention?: ConventionName | undefined;
  /** How the members of ensembles are brought together; default: the paper's rules. */
  fusion?: FusionName | undefined;
  /** A file of parameters that `tune mahalanobis` made for these modes; default: what the feature store has for them. */
  tuned?: string | undefined;
}

export interface CleanResult extends MeasuredAccuracy, SkippedImages {
  in: string;
  arch: string;
}

/**
 * Accuracy of each mode and of ensembles of them on in-distribution test data.
 *
 * @throws ModeEnsembleError E_CONFIG, E_CHECKPOINT, E_DATA, E_IO, E_ABORTED
 */
export async function evaluateClean(settings: CheckpointSettings, hooks: StageHooks = {}): Promise<CleanResult> {
  const { modes, sets } = await prepare(settings, false, hooks);
  const ensembles = ensemblesOf(settings, modes);
  using test = await openTest(settings, sets, hooks);
  requireLabelled(modes, test);
  const extraction = extractSettings(settings, modes, { test, out: [] }, [PLAIN]);
  const { members, skipped, skippedImages } = await extractFeatures(extraction, hooks);
  hooks.onStage?.('evaluate');
  const measured = await measureAccuracy({ in: test.name, members, ensembles, intervals: settings.intervals }, hooks);
  return { in: test.name, arch: archOf(members), ...measured, skipped, skippedImages };
}

export function ensemblesOf(settings: CheckpointSettings, { members }: CheckpointSet): string[][] {
  const names = members.map(({ name }) => name);
  return chooseEnsembles(settings.ensembles ?? 'all', names, nameField(settings, 'ensembles'));
}

/**
 * OoD detection of each checkpoint and of ensembles of them.
 *
 * @throws ModeEnsembleError E_CONFIG, E_CHECKPOINT, E_DATA, E_IO, E_ABORTED; finished feature files stay
 */
export async function evaluateOod(
  settings: OodSettings,
  hooks: StageHooks = {},
): Promise<{ evaluation: Evaluation } & SkippedImages> {
  // A mistyped name shows before anything is opened.
  const choose = (suite?: string) =>
    settings.detectors && chooseDetectors(settings.detectors, nameField(settings, 'detectors'), suite);
  choose();
  const { hooks: heard, warnings } = keepWarnings(hooks);
  const { modes, sets } = await prepare(settings, true, heard);
  const ensembles = ensemblesOf(settings, modes);
  const { train: ownTrain, fusion = 'paper' } = settings;
  const where = nameField(settings, 'detectors');
  const suite = suiteOf(sets, modes);
  const chosen = { asked: choose(suite), suite, ensembles, fusion, ownTrain, where };
  const detectors = usableDetectors(chosen, modes.members, sets, heard);
  using opened = await openDataSets(settings, sets, needsTrainFeatures(detectors), heard);
  const { test } = opened;
  tellUnlabelled(modes, test, heard);
  const extraction = extractSettings(settings, modes, opened, passesOf(detectors));
  const networks = networksOf(
    { ...extraction, tuned: settings.tuned, tunedWhere: nameField(settings, 'tuned') },
    heard,
  );
  const beside = besideOf(detectors, networks, heard);
  const { members, skipped, skippedImages } = await extractFeatures({ ...extraction, beside }, heard);
  hooks.onStage?.('evaluate');
  const { threads, convention, intervals } = settings;
  const about = { in: test.name, classes: test.classes.length, threads, convention, intervals };
  const input = { ...about, members, ensembles, fusion, detectors };
  const together = togetherOf(extraction, hooks);
  const services = { ...servicesOf(settings.addon ?? getAddon(), settings.searchMemory), together, networks };
  const evaluation = await evaluate(input, hooks, services);
  evaluation.warnings.unshift(...warnings);
  return { evaluation, skipped, skippedImages };
}

/** Looks names up, opens the checkpoints, and makes sure that features can be written; no data set is opened yet. */
export async function prepare(
  settings: CheckpointSettings & Pick<Partial<OodSettings>, 'out'>,
  needsOut: boolean,
  hooks: StageHooks,
) {
  const { checkpoints, arch, width, preprocessing, transform, features } = settings;
  const { in: own, out, suite, data = 'data', root } = settings;
  const name = (field: string) => nameField(settings, field);
  const sets = chooseSets({ in: own, out, suite, data, root, needsOut }, name);
  if (needsOut) tellMissing(sets, hooks);
  const addon = settings.addon ?? getAddon();
  hooks.onStage?.('open');
  const fallback = sets.suite?.suite.transform;
  const modes = await openCheckpoints(checkpoints, { arch, width, preprocessing, transform, fallback, addon, hooks });
  const isAsked = transform?.crop !== undefined || preprocessing !== undefined;
  for (const { arch: own, transform: ownTransform } of modes.members) {
    requireSuiteSize(sets, own.id, ownTransform, isAsked, { suite: name('suite'), crop: name('crop') });
  }
  await makeWritableFolder(features);
  return { sets, modes };
}

export function nameField(settings: CheckpointSettings, field: string): string {
  return settings.nameField?.(field) ?? field;
}

export function opening(
  settings: CheckpointSettings,
  { where, root }: Pick<ChosenSet, 'where' | 'root'>,
  hooks: StageHooks,
): OpenDataSettings {
  const { skipBadImages, threads, addon } = settings;
  const { signal, onProgress, onLog } = hooks;
  return { root, skipBadImages, threads, addon, signal, onProgress, onLog, where };
}

export async function openTest(settings: CheckpointSettings, sets: ChosenSets, hooks: StageHooks): Promise<DataSet> {
  const { spec } = sets.in;
  const set = await openData(spec, { ...opening(settings, sets.in, hooks), split: 'test', allowWhole: true });
  tellIncomplete(sets.suite?.test, set, hooks);
  return set;
}

export async function openTrain(
  settings: CheckpointSettings & Pick<OodSettings, 'train'>,
  sets: ChosenSets,
  hooks: StageHooks,
): Promise<DataSet> {
  const { spec, where } = sets.in;
  if (settings.train !== undefined) {
    const place = { where: nameField(settings, 'train'), root: settings.root };
    return openData(settings.train, { ...opening(settings, place, hooks), split: 'train', allowWhole: true });
  }
  if (spec.split === 'train') {
    const what = 'expected test data, as a detector learns from the train part, found ?split=train';
    throw new ConfigError(`${where}: ${what}`);
  }
  const set = await openData({ ...spec, split: 'train' }, opening(settings, sets.in, hooks));
  tellIncomplete(sets.suite?.train, set, hooks);
  return set;
}

/** The data sets of an evaluation; disposing of it disposes of them. */
export interface OpenedSets extends Disposable {
  test: DataSet;
  train: DataSet | undefined;
  out: DataSet[];
}

/** Opens all of them, or, where one cannot be opened, leaves none open. @throws ModeEnsembleError as openData */
export async function openDataSets(
  settings: CheckpointSettings & Pick<OodSettings, 'train'>,
  sets: ChosenSets,
  needsTrain: boolean,
  hooks: StageHooks,
): Promise<OpenedSets> {
  return openTogether(async (keep) => {
    const test = keep(await openTest(settings, sets, hooks));
    const train = needsTrain ? keep(await openTrain(settings, sets, hooks)) : undefined;
    const out: DataSet[] = [];
    for (const one of sets.out) {
      const set = keep(await openData(one.spec, opening(settings, one, hooks)));
      tellIncomplete(partOf(sets, one), set, hooks);
      out.push(set);
    }
    return { test, train, out };
  });
}

export function extractSettings(
  settings: CheckpointSettings,
  modes: CheckpointSet,
  sets: { train?: DataSet | undefined; test: DataSet; out: readonly DataSet[] },
  passes: readonly Pass[],
): ExtractSettings {
  const classes = modes.classes ?? sets.test.classes;
  for (const set of sets.train ? [sets.test, sets.train] : [sets.test]) requireClasses(set, classes);
  const { batchSize, precision, storage, threads, workers, modesAtOnce, addon } = settings;
  const members = modes.members.map((member) => ({ ...member, classes: member.classes ?? classes.length }));
  const store = new FeatureStore(settings.features);
  const device = resolveDevice(settings.device ?? 'cpu', { addon, where: nameField(settings, 'device') });
  const machine = { device, threads, workers, modesAtOnce, addon };
  return { members, sets, passes, storage, store, batchSize, precision, ...machine };
}

/** Labels can only be compared where the data has the classes the networks were trained on. */
function requireClasses(set: DataSet, classes: readonly string[]): void {
  const length = Math.max(set.classes.length, classes.length);
  for (let index = 0; index < length; index++) {
    const [expected, found] = [classes[index], set.classes[index]];
    if (expected === found) continue;
    const what = `class ${index} is ${describe(found)}, but ${describe(expected)} in the networks`;
    throw new ModeEnsembleError('E_DATA', `${set.name}: ${what}; expected the classes they were trained on`);
  }
}

/** The suite whose defaults detectors take; where modes read images of several sizes, the largest tells. */
export function suiteOf(sets: ChosenSets, { members }: CheckpointSet): string {
  const [first, ...others] = members.map(({ transform }) => transform) as [TransformOptions, ...TransformOptions[]];
  return defaultsFor(
    sets,
    others.reduce((largest, transform) => (transform.crop > largest.crop ? transform : largest), first),
  );
}

/** The modes whose classes cannot be those of the labels, since they are more or fewer. */
function unlabelled({ members }: CheckpointSet, { classes: { length } }: DataSet) {
  return members.flatMap(({ classes, ...member }) =>
    classes === undefined || classes === length ? [] : [{ ...member, classes }],
  );
}

function tellUnlabelled(modes: CheckpointSet, set: DataSet, hooks: StageHooks): void {
  for (const { name, classes } of unlabelled(modes, set)) {
    const why = `it tells ${classes} classes apart, and ${set.name} has ${set.classes.length}`;
    warn(`mode ${name} has no accuracy: ${why}`, hooks);
  }
}

export function requireLabelled(modes: CheckpointSet, set: DataSet): void {
  const [other] = unlabelled(modes, set);
  if (!other) return;
  const expected = `expected a network of ${set.classes.length} classes, as ${set.name} has them, for its accuracy`;
  throw new ModeEnsembleError('E_CHECKPOINT', `${other.checkpoint}: ${expected}, found ${other.classes}`);
}
