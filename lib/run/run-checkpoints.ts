/** Evaluation of checkpoints that are there, without an experiment: accuracy, and OoD detection. */
import { describe } from '../config/describe.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { makeWritableFolder } from '../config/folders.js';
import type { EvaluateSettings, TransformSettings } from '../config/schema.js';
import { type DataSet, type OpenDataSettings, openData } from '../data/open.js';
import { warn } from '../data/suite.js';
import { type FusionName, joinMembers, meanOverModes } from '../ensemble/index.js';
import { type Pass, PLAIN, passId } from '../features/pass.js';
import { FeatureFile, FeatureStore } from '../features/store.js';
import { accuracy, type Summary, summarize } from '../metrics/index.js';
import { type CheckpointSet, openCheckpoints } from '../modes/checkpoints.js';
import type { Addon, Precision, SkippedImage, TransformOptions } from '../native/contract.js';
import { getAddon } from '../native/load.js';
import { archOf } from './check-spaces.js';
import { evaluate } from './evaluate.js';
import { chooseDetectors, chooseEnsembles, defaultsFor, needsTrainFeatures, passesOf } from './experiment.js';
import { type ExtractSettings, extractFeatures, type StageHooks, servicesOf } from './extract.js';
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
import type { AccuracyRow, Evaluation } from './types.js';
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
  threads: number;
  workers: number;
  skipBadImages?: boolean | undefined;
  addon?: Addon | undefined;
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
  /** How the members of ensembles are brought together; default: the paper's rules. */
  fusion?: FusionName | undefined;
  /** `all`, `{size}`, or lists of member names. */
  ensembles: 'all' | { size: number } | readonly (readonly string[])[];
}

export interface CleanResult {
  in: string;
  arch: string;
  modes: AccuracyRow[];
  /** Of the modes' top-1, as fractions. */
  top1: Summary;
  /** All members together; absent for a single one. */
  ensemble?: AccuracyRow | undefined;
  /** Images passed over because they cannot be decoded, by data set: how many, and the first hundred. */
  skipped: Record<string, number>;
  skippedImages: Record<string, SkippedImage[]>;
}

/**
 * Accuracy of each mode and of all of them together on in-distribution test data.
 *
 * @throws ModeEnsembleError E_CONFIG, E_CHECKPOINT, E_DATA, E_IO, E_ABORTED
 */
export async function evaluateClean(settings: CheckpointSettings, hooks: StageHooks = {}): Promise<CleanResult> {
  const prepared = await prepare(settings, false, hooks);
  using test = await openTest(settings, prepared.sets, hooks);
  requireLabelled(prepared.modes, test);
  const extraction = extractSettings(settings, prepared.modes, { test, out: [] }, [PLAIN]);
  const { members, skipped, skippedImages } = await extractFeatures(extraction, hooks);
  hooks.onStage?.('evaluate');
  const files: FeatureFile[] = [];
  for (const member of members) files.push(await FeatureFile.open(member.test[passId(PLAIN)] as string));
  const labels = await (files[0] as FeatureFile).labels();
  const logits: Float32Array[] = [];
  for (const file of files) logits.push(await file.logits());
  const names = members.map(({ name }) => name);
  const row = (kind: AccuracyRow['kind'], rowNames: string[], parts: Float32Array[]): AccuracyRow => {
    const text = joinMembers(rowNames);
    const classes = (files[0] as FeatureFile).classes;
    return { kind, members: text, ...accuracy(meanOverModes(parts), labels, classes, `${test.name} (${text})`) };
  };
  const modes = names.map((name, index) => row('mode', [name], [logits[index] as Float32Array]));
  return {
    in: test.name,
    arch: archOf(members),
    modes,
    top1: summarize(modes.map(({ top1 }) => top1)),
    ensemble: modes.length > 1 ? row('ensemble', names, logits) : undefined,
    skipped,
    skippedImages,
  };
}

/**
 * OoD detection of each checkpoint and of ensembles of them.
 *
 * @throws ModeEnsembleError E_CONFIG, E_CHECKPOINT, E_DATA, E_IO, E_ABORTED; finished feature files stay
 */
export async function evaluateOod(
  settings: OodSettings,
  hooks: StageHooks = {},
): Promise<{ evaluation: Evaluation } & Pick<CleanResult, 'skipped' | 'skippedImages'>> {
  // A mistyped name shows before anything is opened.
  const choose = (suite?: string) =>
    settings.detectors && chooseDetectors(settings.detectors, nameField(settings, 'detectors'), suite);
  choose();
  const { hooks: heard, warnings } = keepWarnings(hooks);
  const { modes, sets } = await prepare(settings, true, heard);
  const names = modes.members.map(({ name }) => name);
  const ensembles = chooseEnsembles(settings.ensembles, names, nameField(settings, 'ensembles'));
  const { train: ownTrain, fusion = 'paper' } = settings;
  const where = nameField(settings, 'detectors');
  const chosen = {
    asked: choose(suiteOf(sets, modes)),
    suite: suiteOf(sets, modes),
    ensembles,
    fusion,
    ownTrain,
    where,
  };
  const detectors = usableDetectors(chosen, modes.members, sets, heard);
  const opened: DataSet[] = [];
  const keep = (set: DataSet) => {
    opened.push(set);
    return set;
  };
  try {
    const test = keep(await openTest(settings, sets, heard));
    const train = needsTrainFeatures(detectors) ? keep(await openTrain(settings, sets, heard)) : undefined;
    const out: DataSet[] = [];
    for (const one of sets.out) {
      const set = keep(await openData(one.spec, opening(settings, one, heard)));
      tellIncomplete(partOf(sets, one), set, heard);
      out.push(set);
    }
    tellUnlabelled(modes, test, heard);
    const extraction = extractSettings(settings, modes, { train, test, out }, passesOf(detectors));
    const { members, skipped, skippedImages } = await extractFeatures(extraction, heard);
    hooks.onStage?.('evaluate');
    const { threads } = settings;
    const input = { in: test.name, members, ensembles, fusion, detectors, threads, classes: test.classes.length };
    const together = togetherOf(extraction, hooks);
    const evaluation = await evaluate(input, hooks, { ...servicesOf(settings.addon ?? getAddon()), together });
    evaluation.warnings.unshift(...warnings);
    return { evaluation, skipped, skippedImages };
  } finally {
    for (const set of opened) set.dispose();
  }
}

/** Looks names up, opens the checkpoints, and makes sure that features can be written; no data set is opened yet. */
async function prepare(
  settings: CheckpointSettings & Pick<Partial<OodSettings>, 'out'>,
  needsOut: boolean,
  hooks: StageHooks,
) {
  const { checkpoints, arch, width, preprocessing, transform, features } = settings;
  const { in: own, out, suite, data = 'data', root } = settings;
  const name = (field: string) => nameField(settings, field);
  const sets = chooseSets({ in: own, out: needsOut ? out : [], suite, data, root, needsOut }, name);
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

function nameField(settings: CheckpointSettings, field: string): string {
  return settings.nameField?.(field) ?? field;
}

function opening(
  settings: CheckpointSettings,
  { where, root }: Pick<ChosenSet, 'where' | 'root'>,
  hooks: StageHooks,
): OpenDataSettings {
  const { skipBadImages, threads, addon } = settings;
  const { signal, onProgress, onLog } = hooks;
  return { root, skipBadImages, threads, addon, signal, onProgress, onLog, where };
}

async function openTest(settings: CheckpointSettings, sets: ChosenSets, hooks: StageHooks): Promise<DataSet> {
  const { spec } = sets.in;
  const set = await openData(spec, { ...opening(settings, sets.in, hooks), split: 'test', allowWhole: true });
  tellIncomplete(sets.suite?.test, set, hooks);
  return set;
}

async function openTrain(settings: OodSettings, sets: ChosenSets, hooks: StageHooks): Promise<DataSet> {
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

function extractSettings(
  settings: CheckpointSettings,
  modes: CheckpointSet,
  sets: { train?: DataSet | undefined; test: DataSet; out: readonly DataSet[] },
  passes: readonly Pass[],
): ExtractSettings {
  const classes = modes.classes ?? sets.test.classes;
  for (const set of sets.train ? [sets.test, sets.train] : [sets.test]) requireClasses(set, classes);
  const { batchSize, precision, threads, workers, addon } = settings;
  const members = modes.members.map((member) => ({ ...member, classes: member.classes ?? classes.length }));
  const store = new FeatureStore(settings.features);
  return { members, sets, passes, store, batchSize, precision, threads, workers, addon };
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
function suiteOf(sets: ChosenSets, { members }: CheckpointSet): string {
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

function requireLabelled(modes: CheckpointSet, set: DataSet): void {
  const [other] = unlabelled(modes, set);
  if (!other) return;
  const expected = `expected a network of ${set.classes.length} classes, as ${set.name} has them, for its accuracy`;
  throw new ModeEnsembleError('E_CHECKPOINT', `${other.checkpoint}: ${expected}, found ${other.classes}`);
}
