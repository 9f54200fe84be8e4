/** Evaluation of checkpoints that are there, without an experiment: accuracy, and OoD detection. */
import { describe } from '../config/describe.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { makeWritableFolder } from '../config/folders.js';
import type { EvaluateSettings, TransformSettings } from '../config/schema.js';
import { type DataSet, type OpenDataSettings, openData } from '../data/open.js';
import { missingSentence, warn } from '../data/suite.js';
import { DETECTORS, getDetector } from '../detectors/index.js';
import { joinMembers, meanOverModes } from '../ensemble/index.js';
import { type Pass, PLAIN, passId } from '../features/pass.js';
import { FeatureFile, FeatureStore } from '../features/store.js';
import { accuracy, type Summary, summarize } from '../metrics/index.js';
import { type CheckpointSet, openCheckpoints } from '../modes/checkpoints.js';
import type { Addon, Precision, SkippedImage } from '../native/contract.js';
import { getAddon } from '../native/load.js';
import { evaluate } from './evaluate.js';
import { chooseDetectors, chooseEnsembles, defaultsFor, needsTrainFeatures, passesOf } from './experiment.js';
import { extractFeatures, type StageHooks, servicesOf } from './extract.js';
import { networksOf } from './networks.js';
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
import type { AccuracyRow, DetectorChoice, Evaluation } from './types.js';

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
  /** Needed where the checkpoints do not say it themselves. */
  arch?: string | undefined;
  width?: number | undefined;
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
  /** A file of parameters that `tune mahalanobis` made for these modes; default: what the feature store has for them. */
  tuned?: string | undefined;
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
  const { members, skipped, skippedImages } = await extractWith(
    settings,
    prepared.modes,
    { test, out: [] },
    [PLAIN],
    hooks,
  );
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
    arch: prepared.modes.arch.id,
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
  const detectors = usableDetectors(choose(defaultsFor(sets, modes.transform)), modes, sets, settings, heard);
  const names = modes.members.map(({ name }) => name);
  const ensembles = chooseEnsembles(settings.ensembles, names, nameField(settings, 'ensembles'));
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
    const { members, skipped, skippedImages } = await extractWith(
      settings,
      modes,
      { train, test, out },
      passesOf(detectors),
      heard,
    );
    hooks.onStage?.('evaluate');
    const { threads } = settings;
    const input = { in: test.name, members, ensembles, detectors, threads };
    const networks = networksOf(
      {
        ...settings,
        ...modes,
        classes: (modes.classes ?? test.classes).length,
        sets: { train, test, out },
        store: new FeatureStore(settings.features),
        tunedWhere: nameField(settings, 'tuned'),
      },
      heard,
    );
    const services = { ...servicesOf(settings.addon ?? getAddon()), networks };
    const evaluation = await evaluate(input, hooks, services);
    evaluation.warnings.unshift(...warnings);
    return { evaluation, skipped, skippedImages };
  } finally {
    for (const set of opened) set.dispose();
  }
}

/**
 * The detectors asked for, or all; those that need what the networks do not give, or training data that is missing, are
 * refused, or left out.
 */
function usableDetectors(
  asked: DetectorChoice[] | undefined,
  { hasPenultimate, members, transform }: CheckpointSet,
  sets: ChosenSets,
  settings: OodSettings,
  hooks: StageHooks,
): DetectorChoice[] {
  const { suite } = sets;
  const missing = settings.train === undefined && suite && !suite.train.spec ? suite.train : undefined;
  const where = nameField(settings, 'detectors');
  const needs = ({ name, parameters }: DetectorChoice) => getDetector(name).needs(parameters);
  const lacksFeature = (choice: DetectorChoice) => {
    const { penultimate, stages } = needs(choice);
    return !hasPenultimate && (penultimate || stages);
  };
  const lacksTrain = (choice: DetectorChoice) => missing !== undefined && needs(choice).fit === 'train';
  const chosen =
    asked ??
    chooseDetectors(
      DETECTORS.map(({ name }) => name),
      where,
      defaultsFor(sets, transform),
    ).filter((choice) => !lacksFeature(choice));
  const featureless = chosen.find(lacksFeature);
  if (featureless) {
    const found = `${members[0]?.checkpoint} returns logits alone`;
    throw new ConfigError(`${where}: ${featureless.name} needs the network's penultimate feature, and ${found}`);
  }
  const unfit = chosen.filter(lacksTrain);
  if (unfit.length === 0 || !missing) return chosen;
  const names = unfit.map(({ name }) => name).join(', ');
  if (asked) {
    throw new ModeEnsembleError(
      'E_DATA',
      `${where}: ${names} ${unfit.length === 1 ? 'needs' : 'need'} training data, and ${missingSentence(missing)}`,
    );
  }
  const what = unfit.length === 1 ? 'needs training data and is' : 'need training data and are';
  warn(`${names} ${what} left out: ${missingSentence(missing)}`, hooks);
  return chosen.filter((choice) => !lacksTrain(choice));
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
  const sets = chooseSets({ in: own, out: needsOut ? out : [], suite, data, root, needsOut }, name);
  if (needsOut) tellMissing(sets, hooks);
  const addon = settings.addon ?? getAddon();
  hooks.onStage?.('open');
  const fallback = sets.suite?.suite.transform;
  const modes = await openCheckpoints(checkpoints, { arch, width, preprocessing, transform, fallback, addon, hooks });
  const isAsked = transform?.crop !== undefined || preprocessing !== undefined;
  requireSuiteSize(sets, modes.arch.id, modes.transform, isAsked, { suite: name('suite'), crop: name('crop') });
  await makeWritableFolder(features);
  return { sets, modes };
}

export function nameField(settings: CheckpointSettings, field: string): string {
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

export async function extractWith(
  settings: CheckpointSettings,
  modes: CheckpointSet,
  sets: { train?: DataSet | undefined; test: DataSet; out: readonly DataSet[] },
  passes: readonly Pass[],
  hooks: StageHooks,
) {
  const classes = modes.classes ?? sets.test.classes;
  for (const set of sets.train ? [sets.test, sets.train] : [sets.test]) requireClasses(set, classes);
  const { batchSize, precision, threads, workers, addon } = settings;
  const { arch, members, transform } = modes;
  const store = new FeatureStore(settings.features);
  const network = { arch, classes: classes.length, members, transform };
  return extractFeatures({ ...network, sets, passes, store, batchSize, precision, threads, workers, addon }, hooks);
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
