import { setImmediate as nextTurn } from 'node:timers/promises';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import {
  type Detector,
  getDetector,
  type RowDetector,
  resolveParameters,
  type Services,
  type SetDetector,
} from '../detectors/index.js';
import {
  FUSE_LOGITS,
  FUSE_SCORES,
  type FusionName,
  joinMembers,
  MEMBER_SEPARATOR,
  resolveSubsets,
} from '../ensemble/index.js';
import { distinctPasses, type FeatureFile, type Pass, PLAIN, passId } from '../features/index.js';
import { accuracyOfRanks, type ConventionName, labelRanks, measure } from '../metrics/index.js';
import type { ProgressEvent } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { archOf, checkSpaces } from './check-spaces.js';
import { type FeatureSet, filesOf, openSets, openTrain } from './open-sets.js';
import { RowSources } from './row-sources.js';
import { type RowTask, scoreRows } from './score-rows.js';
import type {
  AccuracyRow,
  DetectorChoice,
  Evaluation,
  EvaluationInput,
  MemberFeatures,
  ResultRow,
  ScoreSet,
} from './types.js';

export type EvaluateHooks = Pick<JobHooks, 'signal' | 'onProgress' | 'onLog'>;

const nativeServices: Services = {
  neighbours: (options, hooks) => startJob((sink) => getAddon().neighbours(options, sink), hooks),
};

/** One mode or one ensemble. */
export interface Subset {
  kind: 'mode' | 'ensemble';
  members: string[];
  /** Places of the members in the input. */
  places: number[];
  /** The members' architecture, or all that there are. */
  arch: string;
}

interface Choice extends DetectorChoice {
  label: string;
  detector: Detector;
}

/** What the steps of one evaluation share. */
interface Work {
  input: EvaluationInput;
  fusion: FusionName;
  subsets: Subset[];
  /** The subsets that are scored from features; the others from the scores of their modes. */
  scored: Subset[];
  sets: FeatureSet[];
  progress: Progress;
  hooks: EvaluateHooks;
  services: Services;
  /** Of a choice on a set: one array [N] for each of `subsets`. */
  scores: Map<string, Float64Array[]>;
}

/**
 * Scores every mode alone and every ensemble with every detector and measures them on every OoD set, from feature files
 * alone. What reads logits is scored in blocks of rows, so that memory does not grow with the sets; detectors on features
 * run once a subset over all sets.
 *
 * @throws ModeEnsembleError E_CONFIG on a name, ensemble or parameter that cannot be used; E_DATA where the members' files
 * do not hold the same images; E_NUMERIC on logits, features or scores that are not finite; E_ABORTED when the signal is raised
 */
export async function evaluate(
  input: EvaluationInput,
  hooks: EvaluateHooks = {},
  services: Services = nativeServices,
): Promise<Evaluation> {
  const outNames = checkNames(input);
  const choices = input.detectors.map(({ name, label, parameters }): Choice => {
    const detector = getDetector(name);
    const given = resolveParameters(detector, parameters);
    return { name: detector.name, label: label ?? detector.name, detector, parameters: given };
  });
  checkDistinct(
    choices.map(({ label }) => label),
    'Detector',
  );
  const { fusion = 'paper' } = input;
  const subsets = makeSubsets(input);
  const scored = FUSE_LOGITS[fusion] ? subsets : subsets.filter(({ kind }) => kind === 'mode');
  const sets = await openSets(input.in, outNames, input.members, passesOf(choices));
  const plain = filesOf(sets[0] as FeatureSet, PLAIN);
  const members = input.members.map(({ name, arch }, i) => ({ name, arch, classes: plain[i]?.classes }));
  checkSpaces(choices, members, input.ensembles, fusion);
  const rows = sets.reduce((sum, set) => sum + set.count, 0);
  const progress = new Progress(rows * scored.length * choices.length, hooks);
  const scores = new Map<string, Float64Array[]>();
  const work: Work = { input, fusion, subsets, scored, sets, progress, hooks, services, scores };
  const accuracies = await scoreLogits(work, choices);
  await scoreFeatures(work, choices);
  fuseScores(work, choices);

  const scoreOf = ({ label }: Choice, subset: number, set: number) =>
    scores.get(scoreKey(label, set))?.[subset] as Float64Array;
  const measured = await measureAll(input, choices, subsets, outNames, scoreOf, hooks);
  return {
    convention: CONVENTION,
    fusion,
    in: input.in,
    out: outNames,
    arch: archOf(input.members),
    detectors: choices.map(({ name, label, parameters }) => ({ name, label, parameters })),
    accuracy: accuracies,
    ...measured,
    scores: choices.flatMap((choice) =>
      subsets.map(
        (subset, index): ScoreSet => ({
          detector: choice.label,
          members: subset.members,
          in: scoreOf(choice, index, 0),
          out: Object.fromEntries(outNames.map((name, i) => [name, scoreOf(choice, index, i + 1)])),
        }),
      ),
    ),
  };
}

function isRow(choice: Choice): choice is Choice & { detector: RowDetector } {
  return 'scoreRows' in choice.detector;
}

function isSet(choice: Choice): choice is Choice & { detector: SetDetector } {
  return 'scoreSets' in choice.detector;
}

/** Every pass that must be there of each set; the plain one always, for accuracy. */
function passesOf(choices: readonly Choice[]): Pass[] {
  return distinctPasses([PLAIN, ...choices.flatMap(({ detector, parameters }) => detector.needs(parameters).passes)]);
}

/** Detectors that score row by row, and accuracy: set by set and pass by pass. */
async function scoreLogits(work: Work, choices: readonly Choice[]): Promise<AccuracyRow[]> {
  const { input, fusion, subsets, scored, sets, progress, hooks } = work;
  const fuse = FUSE_LOGITS[fusion];
  const sources = new RowSources(sets, scored, work.services);
  const onRows = choices.filter(isRow);
  const passes = distinctPasses([PLAIN, ...onRows.map(({ detector, parameters }) => detector.pass(parameters))]);
  let accuracies: AccuracyRow[] = [];
  for (const [setIndex, set] of sets.entries()) {
    const empty = (of: readonly Subset[]) => of.map(() => new Float64Array(set.count));
    for (const pass of passes) {
      const here = onRows.filter(({ detector, parameters }) => passId(detector.pass(parameters)) === passId(pass));
      const tasks = here.map(({ detector, parameters, label }): RowTask => {
        const own = empty(scored);
        work.scores.set(scoreKey(label, setIndex), own);
        return { detector, parameters, scores: own };
      });
      // Accuracy is always that of the mean logits (or softmax), also where the scores are fused otherwise.
      if (setIndex === 0 && passId(pass) === passId(PLAIN)) {
        const plain = filesOf(set, PLAIN);
        const labels = await (plain[0] as FeatureFile).labels();
        const classes = input.classes ?? (plain[0] as FeatureFile).classes;
        // Labels say nothing about networks that tell other classes apart.
        const own = subsets.filter(({ places }) => places.every((place) => plain[place]?.classes === classes));
        const ranks = empty(own);
        const rank = rankTask(labels, input.in, ranks);
        const fuseRanks = fuse ?? (FUSE_LOGITS.paper as NonNullable<typeof fuse>);
        const source = { name: set.name, logits: plain, plain, subsets: placesOf(own), fuse: fuseRanks };
        await scoreRows(source, [rank], () => turn(hooks.signal));
        accuracies = own.map(({ kind, members }, index) => {
          return { kind, members: joinMembers(members), ...accuracyOfRanks(ranks[index] as Float64Array, classes) };
        });
      }
      if (tasks.length === 0) continue;
      // Modes alone are fused by any rule: the mean of one.
      const one = fuse ?? (FUSE_LOGITS.paper as NonNullable<typeof fuse>);
      for await (const source of sources.of(setIndex, pass)) {
        const pick = (of: readonly Float64Array[]) => source.indices.map((index) => of[index] as Float64Array);
        const picked = tasks.map((task) => ({ ...task, scores: pick(task.scores) }));
        await scoreRows({ ...source, fuse: one }, picked, async (count) => {
          progress.add(count * source.indices.length * tasks.length);
          await turn(hooks.signal);
        });
      }
    }
  }
  return accuracies;
}

function placesOf(subsets: readonly Subset[]): number[][] {
  return subsets.map(({ places }) => places);
}

/** The rank of each image's label among the classes, as a detector would score it. */
function rankTask(labels: Int32Array, name: string, scores: Float64Array[]): RowTask {
  return {
    detector: {
      needs: () => ({ passes: [PLAIN], penultimate: false, stages: false, fit: 'none' }),
      temperature: () => 1,
      scoreRows: ({ first, rows, classes, logits }) =>
        labelRanks(logits, labels.subarray(first, first + rows), classes, name, first),
    },
    parameters: {},
    scores,
  };
}

/** Detectors that score whole sets: once a subset, over all sets. */
async function scoreFeatures(work: Work, choices: readonly Choice[]): Promise<void> {
  const { input, scored, sets, progress, hooks, services, scores } = work;
  const onSets = choices.filter(isSet);
  const fitted = onSets.find(({ detector, parameters }) => detector.needs(parameters).fit === 'train');
  const train = fitted && (await openTrain(input.members, fitted.name));
  const rows = sets.reduce((sum, set) => sum + set.count, 0);
  for (const { detector, parameters, label } of onSets) {
    for (const index of sets.keys()) scores.set(scoreKey(label, index), []);
    for (const { members, places } of scored) {
      await turn(hooks.signal);
      const pick = (set: FeatureSet) => places.map((place) => filesOf(set, PLAIN)[place] as FeatureFile);
      const found = await detector.scoreSets({
        members,
        sets: sets.map((set) => ({ name: set.name, count: set.count, files: pick(set) })),
        train: train && detector.needs(parameters).fit === 'train' ? pick(train) : [],
        parameters,
        threads: input.threads,
        hooks: progress.nested(rows),
        services,
      });
      for (const [index, values] of found.entries()) scores.get(scoreKey(label, index))?.push(values);
      progress.add(rows);
    }
  }
}

/** Where members are brought together by their scores: adds those of the ensembles to those of the modes. */
function fuseScores({ fusion, subsets, sets, scores }: Work, choices: readonly Choice[]): void {
  const fuse = FUSE_SCORES[fusion];
  if (!fuse) return;
  for (const { label } of choices) {
    const inScores = [...(scores.get(scoreKey(label, 0)) as Float64Array[])];
    for (const index of sets.keys()) {
      const modes = scores.get(scoreKey(label, index)) as Float64Array[];
      const own = [...modes];
      for (const { places } of subsets.filter(({ kind }) => kind === 'ensemble')) {
        const pick = (of: readonly Float64Array[]) => places.map((place) => of[place] as Float64Array);
        modes.push(fuse(pick(own), pick(inScores)));
      }
    }
  }
}

const CONVENTION: ConventionName = 'reference';

/** Rows by OoD set, then detector, then subset: as results.csv is read. */
async function measureAll(
  input: EvaluationInput,
  choices: readonly Choice[],
  subsets: readonly Subset[],
  outNames: readonly string[],
  scoreOf: (choice: Choice, subset: number, set: number) => Float64Array,
  hooks: EvaluateHooks,
): Promise<{ rows: ResultRow[]; warnings: string[] }> {
  const rows: ResultRow[] = [];
  const warnings: string[] = [];
  for (const [outIndex, out] of outNames.entries()) {
    for (const choice of choices) {
      for (const [index, { kind, members, arch }] of subsets.entries()) {
        await turn(hooks.signal);
        const of = `(${choice.label}, ${kind} ${joinMembers(members)})`;
        const inScores = scoreOf(choice, index, 0);
        const outScores = scoreOf(choice, index, outIndex + 1);
        const found = measure(inScores, outScores, {
          convention: CONVENTION,
          names: { in: `${input.in} ${of}`, out: `${out} ${of}` },
        });
        for (const message of found.warnings) {
          warnings.push(message);
          hooks.onLog?.({ type: 'log', level: 'warning', message });
        }
        rows.push({
          in: input.in,
          out,
          arch,
          detector: choice.label,
          kind,
          members: joinMembers(members),
          n_in: inScores.length,
          n_out: outScores.length,
          auroc: found.auroc,
          aupr_in: found.aupr_in,
          aupr_out: found.aupr_out,
          fpr95: found.fpr95,
        });
      }
    }
  }
  return { rows, warnings };
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
  const make = (kind: Subset['kind'], members: string[]): Subset => {
    const places = members.map((member) => names.indexOf(member));
    const arch = archOf(places.map((place) => input.members[place] as MemberFeatures));
    return { kind, members, places, arch };
  };
  return [
    ...names.map((name) => make('mode', [name])),
    ...resolveSubsets(input.ensembles, names).map((members) => make('ensemble', members)),
  ];
}

function scoreKey(label: string, set: number): string {
  return `${label}/${set}`;
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
