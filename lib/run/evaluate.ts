import { ConfigError } from '../config/errors.js';
import {
  type Detector,
  getDetector,
  type RowDetector,
  resolveParameters,
  type Services,
  type SetDetector,
} from '../detectors/index.js';
import { FUSE_LOGITS, FUSE_SCORES, type FuseLogits, type FusionName, MEMBER_SEPARATOR } from '../ensemble/index.js';
import { distinctPasses, type Pass, PLAIN, passId } from '../features/index.js';
import type { ProgressEvent } from '../native/contract.js';
import type { JobHooks } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { findAccuracies } from './accuracy.js';
import { archOf, checkSpaces } from './check-spaces.js';
import { classAgreement } from './class-agreement.js';
import { servicesOf } from './extract.js';
import { measureAll } from './measure.js';
import { type FeatureSet, filesOf, openSets, openTrain } from './open-sets.js';
import { RowSources } from './row-sources.js';
import { scoreSubset } from './score-features.js';
import { type RowTask, scoreRows } from './score-rows.js';
import { makeSubsets, type Subset } from './subsets.js';
import { turn } from './turn.js';
import type { DetectorChoice, Evaluation, EvaluationInput, ScoreSet } from './types.js';

export type EvaluateHooks = Pick<JobHooks, 'signal' | 'onProgress' | 'onLog'>;

/** What an evaluation asks for, besides what its detectors do. */
export interface EvaluateServices extends Services {
  /**
   * Scores that a detector of whole sets has given these modes before, the in-distribution test set's first; undefined where
   * they are not known.
   */
  scores?: ((label: string, members: readonly string[]) => Promise<Float64Array[] | undefined>) | undefined;
}

const nativeServices: EvaluateServices = {
  neighbours: (options, hooks) => servicesOf(getAddon()).neighbours(options, hooks),
};

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
  services: EvaluateServices;
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
  services: EvaluateServices = nativeServices,
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
  const subsets = makeSubsets(input.members, input.ensembles);
  const scored = FUSE_LOGITS[fusion] ? subsets : subsets.filter(({ kind }) => kind === 'mode');
  const sets = await openSets(input.in, outNames, input.members, passesOf(choices));
  const plain = filesOf(sets[0] as FeatureSet, PLAIN);
  const members = input.members.map(({ name, arch }, i) => ({ name, arch, classes: plain[i]?.classes }));
  checkSpaces(choices, members, input.ensembles, fusion);
  const rows = sets.reduce((sum, set) => sum + set.count, 0);
  const progress = new Progress(rows * scored.length * choices.length, hooks);
  const scores = new Map<string, Float64Array[]>();
  const work: Work = { input, fusion, subsets, scored, sets, progress, hooks, services, scores };
  const found = await findAccuracies(
    {
      name: input.in,
      files: plain,
      classes: input.classes,
      subsets,
      fuse: FUSE_LOGITS[fusion],
      intervals: input.intervals,
    },
    hooks.signal,
  );
  await scoreLogits(work, choices);
  await scoreFeatures(work, choices);
  fuseScores(work, choices);

  const scoresOf = (label: string, subset: number, set: number) =>
    scores.get(scoreKey(label, set))?.[subset] as Float64Array;
  const about = { in: input.in, out: outNames, arch: archOf(input.members) };
  const labels = choices.map(({ label }) => label);
  const agreement = await classAgreement(
    sets,
    input.members.map(({ name }) => name),
  );
  const measured = await measureAll({ ...about, detectors: labels, subsets, scoresOf }, input, hooks);
  return {
    ...about,
    fusion,
    detectors: choices.map(({ name, label, parameters }) => ({ name, label, parameters })),
    accuracy: found.map(({ row }) => row),
    ...measured,
    agreement,
    scores: labels.flatMap((label) =>
      subsets.map(
        (subset, index): ScoreSet => ({
          detector: label,
          members: subset.members,
          in: scoresOf(label, index, 0),
          out: Object.fromEntries(outNames.map((name, i) => [name, scoresOf(label, index, i + 1)])),
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

/** Detectors that score row by row: set by set and pass by pass. */
async function scoreLogits(work: Work, choices: readonly Choice[]): Promise<void> {
  const { fusion, scored, sets, progress, hooks } = work;
  const sources = new RowSources(sets, scored, work.services);
  const onRows = choices.filter(isRow);
  const passes = distinctPasses(onRows.map(({ detector, parameters }) => detector.pass(parameters)));
  // A mode alone is the mean of one.
  const fuse = FUSE_LOGITS[fusion] ?? (FUSE_LOGITS.paper as FuseLogits);
  for (const [setIndex, set] of sets.entries()) {
    for (const pass of passes) {
      const here = onRows.filter(({ detector, parameters }) => passId(detector.pass(parameters)) === passId(pass));
      const tasks = here.map(({ detector, parameters, label }): RowTask => {
        const own = scored.map(() => new Float64Array(set.count));
        work.scores.set(scoreKey(label, setIndex), own);
        return { detector, parameters, scores: own };
      });
      for await (const source of sources.of(setIndex, pass)) {
        const pick = (of: readonly Float64Array[]) => source.indices.map((index) => of[index] as Float64Array);
        const picked = tasks.map((task) => ({ ...task, scores: pick(task.scores) }));
        await scoreRows({ ...source, fuse }, picked, async (rows) => {
          progress.add(rows * source.indices.length * tasks.length);
          await turn(hooks.signal);
        });
      }
    }
  }
}

function placesOf(subsets: readonly Subset[]): number[][] {
  return subsets.map(({ places }) => places);
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
      const { threads } = input;
      const task = {
        detector,
        parameters,
        members,
        places,
        sets,
        train,
        threads,
        hooks: progress.nested(rows),
        services,
      };
      const found = (await services.scores?.(label, members)) ?? (await scoreSubset(task));
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

function scoreKey(label: string, set: number): string {
  return `${label}/${set}`;
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
