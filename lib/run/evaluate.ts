import { setImmediate as nextTurn } from 'node:timers/promises';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import {
  type Detector,
  getDetector,
  resolveParameters,
  type ScoreContext,
  type SetContext,
} from '../detectors/index.js';
import { joinMembers, MEMBER_SEPARATOR, meanOverModes, resolveSubsets } from '../ensemble/index.js';
import { FeatureFile } from '../features/index.js';
import { accuracy } from '../metrics/index.js';
import type { ProgressEvent } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { measureAll } from './measure.js';
import type { AccuracyRow, Evaluation, EvaluationInput, MemberFeatures, ScoreSet } from './types.js';

export type EvaluateHooks = Pick<JobHooks, 'signal' | 'onProgress' | 'onLog'>;

/** What evaluation asks of native code; tests give their own. */
export type EvaluateServices = Pick<ScoreContext, 'neighbours'>;

const nativeServices: EvaluateServices = {
  neighbours: (options, hooks) => startJob((sink) => getAddon().neighbours(options, sink), hooks),
};

/** One mode or one ensemble. */
interface Subset {
  kind: 'mode' | 'ensemble';
  members: string[];
  /** Places of the members in the input. */
  places: number[];
}

/** One data set: the file of every member. */
interface DataSet {
  name: string;
  files: FeatureFile[];
  count: number;
  classes: number;
}

interface Choice {
  detector: Detector;
  parameters: Record<string, number>;
}

/**
 * Scores every mode alone and every ensemble with every detector and measures them on every OoD set, from feature files
 * alone. Sets are taken one after another for detectors on logits, so that the logits of one set are in memory at a
 * time, each file's read once; detectors on features run once a subset over all sets.
 *
 * @throws ModeEnsembleError E_CONFIG on a name, ensemble or parameter that cannot be used; E_DATA where the members' files
 * do not hold the same images; E_NUMERIC on scores that are not finite; E_ABORTED when the signal is raised
 */
export async function evaluate(
  input: EvaluationInput,
  hooks: EvaluateHooks = {},
  services: EvaluateServices = nativeServices,
): Promise<Evaluation> {
  const outNames = checkNames(input);
  const choices = input.detectors.map(({ name, parameters }) => {
    const detector = getDetector(name);
    return { detector, parameters: resolveParameters(detector, parameters) };
  });
  checkDistinct(
    choices.map(({ detector }) => detector.name),
    'Detector',
  );
  const subsets = makeSubsets(input);
  const sets = await openSets(input, outNames);
  const train = await openTrain(input.members, choices);
  const rows = sets.reduce((sum, set) => sum + set.count, 0);
  const progress = new Progress(rows * subsets.length * choices.length, hooks);
  const scores = new Map<string, Float64Array>();
  const accuracies = new Array<AccuracyRow>(subsets.length);
  const base = { threads: input.threads, hooks, neighbours: services.neighbours };

  // What reads logits alone is scored set by set, so that one set's logits are in memory at a time.
  const onLogits = choices.filter(({ detector: { needs } }) => !needs.penultimate && needs.fit === 'none');
  for (const [setIndex, set] of sets.entries()) {
    const logits = await Promise.all(set.files.map((file) => file.logits()));
    const labels = setIndex === 0 ? await (set.files[0] as FeatureFile).labels() : undefined;
    for (const [index, subset] of subsets.entries()) {
      await turn(hooks.signal);
      const mean = meanOverModes(subset.places.map((place) => logits[place] as Float32Array));
      if (labels) accuracies[index] = accuracyRow(subset, mean, labels, set, input.in);
      const context = setContext(set, subset, () => Promise.resolve(mean));
      for (const { detector, parameters } of onLogits) {
        const [found] = await detector.score({ ...base, sets: [context], train: [], parameters });
        scores.set(scoreKey(detector.name, index, setIndex), found as Float64Array);
        progress.add(set.count);
      }
    }
  }

  for (const { detector, parameters } of choices.filter((choice) => !onLogits.includes(choice))) {
    for (const [index, subset] of subsets.entries()) {
      await turn(hooks.signal);
      const contexts = sets.map((set) => setContext(set, subset, () => readMean(set, subset)));
      const found = await detector.score({
        ...base,
        hooks: progress.nested(rows),
        sets: contexts,
        train: detector.needs.fit === 'train' ? subset.places.map((place) => train[place] as FeatureFile) : [],
        parameters,
      });
      for (const [setIndex, values] of found.entries()) scores.set(scoreKey(detector.name, index, setIndex), values);
      progress.add(rows);
    }
  }

  const scoresOf = (detector: string, subset: number, set: number) =>
    scores.get(scoreKey(detector, subset, set)) as Float64Array;
  const about = { in: input.in, out: outNames, arch: input.arch };
  const scored = { ...about, detectors: choices.map(({ detector }) => detector.name), subsets, scoresOf };
  const measured = await measureAll(scored, input, hooks);
  return {
    ...about,
    accuracy: accuracies,
    ...measured,
    scores: choices.flatMap(({ detector }) =>
      subsets.map(
        (subset, index): ScoreSet => ({
          detector: detector.name,
          members: subset.members,
          in: scoresOf(detector.name, index, 0),
          out: Object.fromEntries(outNames.map((name, i) => [name, scoresOf(detector.name, index, i + 1)])),
        }),
      ),
    ),
  };
}

function checkNames(input: EvaluationInput): string[] {
  const [first] = input.members;
  if (!first) throw new ConfigError('An evaluation needs at least one mode.');
  if (input.detectors.length === 0) throw new ConfigError('An evaluation needs at least one detector.');
  checkDistinct(
    input.members.map(({ name }) => name),
    'Mode',
  );
  const outNames = Object.keys(first.out);
  if (outNames.length === 0) throw new ConfigError('An evaluation needs at least one OoD set.');
  if (outNames.includes(input.in)) {
    throw new ConfigError(`"${input.in}" names the in-distribution set and an OoD set; give one of them another name.`);
  }
  for (const { name, out } of input.members) {
    if (name === '' || name.includes(MEMBER_SEPARATOR)) {
      throw new ConfigError(`A mode cannot be called "${name}": expected a name without "${MEMBER_SEPARATOR}".`);
    }
    const missing =
      outNames.find((set) => !Object.hasOwn(out, set)) ?? Object.keys(out).find((set) => !outNames.includes(set));
    if (missing !== undefined) {
      throw new ConfigError(
        `Modes ${first.name} and ${name} must have the same OoD sets; only one of them has ${missing}.`,
      );
    }
  }
  return outNames;
}

function checkDistinct(names: readonly string[], what: string): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new ConfigError(`${what} ${twice} is given twice.`);
}

function makeSubsets(input: EvaluationInput): Subset[] {
  const names = input.members.map(({ name }) => name);
  const make = (kind: Subset['kind'], members: string[]): Subset => ({
    kind,
    members,
    places: members.map((member) => names.indexOf(member)),
  });
  return [
    ...names.map((name) => make('mode', [name])),
    ...resolveSubsets(input.ensembles, names).map((members) => make('ensemble', members)),
  ];
}

/** The test set first, then the OoD sets. */
async function openSets(input: EvaluationInput, outNames: readonly string[]): Promise<DataSet[]> {
  const sets = [await openSet(input.in, input.members, (member) => member.test)];
  for (const name of outNames) sets.push(await openSet(name, input.members, (member) => member.out[name] as string));
  const classes = sets[0]?.classes;
  for (const set of sets) {
    if (set.classes !== classes) {
      throw new ModeEnsembleError(
        'E_DATA',
        `Expected ${classes} classes as on ${input.in}, found ${set.classes} on ${set.name}.`,
      );
    }
  }
  return sets;
}

async function openTrain(members: readonly MemberFeatures[], choices: readonly Choice[]): Promise<FeatureFile[]> {
  const fitted = choices.find(({ detector }) => detector.needs.fit === 'train');
  if (!fitted) return [];
  const path = (member: MemberFeatures) => {
    if (member.train !== undefined) return member.train;
    const name = fitted.detector.name;
    throw new ConfigError(
      `Detector ${name} needs features of the training data, which mode ${member.name} does not have.`,
    );
  };
  return (await openSet('the training data', members, path)).files;
}

/** Opens one file a member and makes sure that they hold the same images in the same order. */
async function openSet(
  name: string,
  members: readonly MemberFeatures[],
  path: (member: MemberFeatures) => string,
): Promise<DataSet> {
  const files: FeatureFile[] = [];
  for (const member of members) files.push(await FeatureFile.open(path(member)));
  const first = files[0] as FeatureFile;
  const labels = await first.labels();
  for (const file of files.slice(1)) {
    const differ = (what: string, a: unknown, b: unknown) =>
      new ModeEnsembleError(
        'E_DATA',
        `The modes' features of ${name} are not of the same images: ${what} is ${a} in ${first.path}, but ${b} in ${file.path}.`,
      );
    if (file.count !== first.count) throw differ('the number of images', first.count, file.count);
    if (file.classes !== first.classes) throw differ('the number of classes', first.classes, file.classes);
    const [a, b] = [first.metadata.fingerprint, file.metadata.fingerprint];
    if (a !== undefined && b !== undefined && a !== b) throw differ('the fingerprint', a, b);
    const others = await file.labels();
    const at = others.findIndex((label, i) => label !== labels[i]);
    if (at >= 0) throw differ(`label ${at}`, labels[at], others[at]);
  }
  return { name, files, count: first.count, classes: first.classes };
}

function setContext(set: DataSet, subset: Subset, meanLogits: SetContext['meanLogits']): SetContext {
  return {
    name: set.name,
    count: set.count,
    classes: set.classes,
    files: subset.places.map((place) => set.files[place] as FeatureFile),
    meanLogits,
  };
}

async function readMean(set: DataSet, subset: Subset): Promise<Float64Array> {
  return meanOverModes(await Promise.all(subset.places.map((place) => (set.files[place] as FeatureFile).logits())));
}

function accuracyRow(subset: Subset, mean: Float64Array, labels: Int32Array, set: DataSet, name: string): AccuracyRow {
  const members = joinMembers(subset.members);
  return { kind: subset.kind, members, ...accuracy(mean, labels, set.classes, `${name} (${members})`) };
}

function scoreKey(detector: string, subset: number, set: number): string {
  return `${detector}/${subset}/${set}`;
}

/** Lets timers and signals run, then stops if asked to. */
async function turn(signal: AbortSignal | undefined): Promise<void> {
  await nextTurn();
  if (signal?.aborted) throw new ModeEnsembleError('E_ABORTED', 'The evaluation was stopped.');
}

/** Progress in scored rows: one for each image, subset and detector. */
class Progress {
  private done = 0;
  private readonly began = performance.now();

  constructor(
    private readonly total: number,
    private readonly hooks: EvaluateHooks,
  ) {}

  add(rows: number): void {
    this.done += rows;
    this.report(this.done);
  }

  /** Hooks for a native job that scores `rows` rows: its own progress becomes a share of them. */
  nested(rows: number): EvaluateHooks {
    const onProgress = ({ done, total }: ProgressEvent) => {
      if (total > 0) this.report(this.done + Math.floor((rows * done) / total));
    };
    return { ...this.hooks, onProgress };
  }

  private report(done: number): void {
    const seconds = (performance.now() - this.began) / 1000;
    const rate = seconds > 0 ? done / seconds : 0;
    this.hooks.onProgress?.({ type: 'progress', phase: 'evaluate', done, total: this.total, rate });
  }
}
