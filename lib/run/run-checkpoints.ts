/** Evaluation of checkpoints that are there, without an experiment: accuracy, and OoD detection. */
import { describe } from '../config/describe.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { makeWritableFolder } from '../config/folders.js';
import type { EvaluateSettings, TransformSettings } from '../config/schema.js';
import { type DataSet, type OpenDataSettings, openData } from '../data/open.js';
import { type DataSpec, parseDataSpec, parseOutSpecs } from '../data/spec.js';
import { joinMembers, meanOverModes } from '../ensemble/index.js';
import { FeatureFile, FeatureStore } from '../features/store.js';
import { accuracy, type Summary, summarize } from '../metrics/index.js';
import { type CheckpointSet, openCheckpoints } from '../modes/checkpoints.js';
import { overrideTransform } from '../modes/transform.js';
import type { Addon, Precision } from '../native/contract.js';
import { getAddon } from '../native/load.js';
import { evaluate } from './evaluate.js';
import { chooseDetectors, chooseEnsembles, needsTrainFeatures } from './experiment.js';
import { extractFeatures, type StageHooks, servicesOf } from './extract.js';
import type { AccuracyRow, Evaluation } from './types.js';

export interface CheckpointSettings {
  checkpoints: readonly string[];
  /** In-distribution data; its test part is taken where the name has no `?split=`. */
  in: string;
  /** Base of relative data paths; default: the current directory. */
  root?: string | undefined;
  /** Needed where the checkpoints do not say it themselves. */
  arch?: string | undefined;
  width?: number | undefined;
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
  /** OoD sets, `[NAME=]READER:PATH[?split=test]`. */
  out: readonly string[];
  /** In-distribution training data for detectors that learn from it; default: the train part of `in`. */
  train?: string | undefined;
  detectors: EvaluateSettings['detectors'];
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
  skipped: Record<string, number>;
}

/**
 * Accuracy of each mode and of all of them together on in-distribution test data.
 *
 * @throws ModeEnsembleError E_CONFIG, E_CHECKPOINT, E_DATA, E_IO, E_ABORTED
 */
export async function evaluateClean(settings: CheckpointSettings, hooks: StageHooks = {}): Promise<CleanResult> {
  const prepared = await prepare(settings, hooks);
  using test = await openTest(settings, prepared.spec, hooks);
  const { members, skipped } = await extract(settings, prepared.modes, { test, out: [] }, hooks);
  hooks.onStage?.('evaluate');
  const files: FeatureFile[] = [];
  for (const member of members) files.push(await FeatureFile.open(member.test));
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
): Promise<{ evaluation: Evaluation; skipped: Record<string, number> }> {
  const detectors = chooseDetectors(settings.detectors, nameField(settings, 'detectors'));
  const prepared = await prepare(settings, hooks);
  const outSpecs = parseOutSpecs(
    settings.out.map((text) => ({ text, where: nameField(settings, 'out') })),
    prepared.spec,
  );
  const names = prepared.modes.members.map(({ name }) => name);
  const ensembles = chooseEnsembles(settings.ensembles, names, nameField(settings, 'ensembles'));
  const opened: DataSet[] = [];
  const keep = (set: DataSet) => {
    opened.push(set);
    return set;
  };
  try {
    const test = keep(await openTest(settings, prepared.spec, hooks));
    const train = needsTrainFeatures(detectors) ? keep(await openTrain(settings, prepared.spec, hooks)) : undefined;
    const out: DataSet[] = [];
    for (const spec of outSpecs) out.push(keep(await openData(spec, opening(settings, 'out', hooks))));
    const { members, skipped } = await extract(settings, prepared.modes, { train, test, out }, hooks);
    hooks.onStage?.('evaluate');
    const arch = prepared.modes.arch.id;
    const { threads } = settings;
    const input = { in: test.name, arch, members, ensembles, detectors, threads };
    const evaluation = await evaluate(input, hooks, servicesOf(settings.addon ?? getAddon()));
    return { evaluation, skipped };
  } finally {
    for (const set of opened) set.dispose();
  }
}

async function prepare(settings: CheckpointSettings, hooks: StageHooks) {
  const { checkpoints, arch, width, features } = settings;
  const spec = parseDataSpec(settings.in, nameField(settings, 'in'));
  const architectures = settings.addon ?? getAddon();
  hooks.onStage?.('open');
  const modes = await openCheckpoints(checkpoints, { arch, width, architectures, signal: hooks.signal });
  const transform = overrideTransform(modes.transform, settings.transform, nameField(settings, 'crop'));
  await makeWritableFolder(features);
  return { spec, modes: { ...modes, transform } };
}

function nameField(settings: CheckpointSettings, field: string): string {
  return settings.nameField?.(field) ?? field;
}

function opening(settings: CheckpointSettings, field: string, hooks: StageHooks): OpenDataSettings {
  const { root, skipBadImages, addon } = settings;
  const { signal, onProgress, onLog } = hooks;
  return { root, skipBadImages, addon, signal, onProgress, onLog, where: nameField(settings, field) };
}

function openTest(settings: CheckpointSettings, spec: DataSpec, hooks: StageHooks): Promise<DataSet> {
  return openData(spec, { ...opening(settings, 'in', hooks), split: 'test', allowWhole: true });
}

function openTrain(settings: OodSettings, spec: DataSpec, hooks: StageHooks): Promise<DataSet> {
  if (settings.train !== undefined) {
    return openData(settings.train, { ...opening(settings, 'train', hooks), split: 'train', allowWhole: true });
  }
  if (spec.split === 'train') {
    const what = 'expected test data, as a detector learns from the train part, found ?split=train';
    throw new ConfigError(`${nameField(settings, 'in')}: ${what}`);
  }
  return openData({ ...spec, split: 'train' }, opening(settings, 'in', hooks));
}

async function extract(
  settings: CheckpointSettings,
  modes: CheckpointSet,
  sets: { train?: DataSet | undefined; test: DataSet; out: readonly DataSet[] },
  hooks: StageHooks,
) {
  const classes = modes.classes ?? sets.test.classes;
  for (const set of sets.train ? [sets.test, sets.train] : [sets.test]) requireClasses(set, classes);
  const { batchSize, precision, threads, workers, addon } = settings;
  const { arch, members, transform } = modes;
  const store = new FeatureStore(settings.features);
  const network = { arch, classes: classes.length, members, transform };
  return extractFeatures({ ...network, sets, store, batchSize, precision, threads, workers, addon }, hooks);
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
