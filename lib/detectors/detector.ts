import type { Json } from '../config/canonical.js';
import type { Pass } from '../features/pass.js';
import type { FeatureFile } from '../features/store.js';
import type { NeighboursOptions, NeighboursResult } from '../native/contract.js';
import type { Job, JobHooks } from '../native/job.js';
import type { Networks } from './networks.js';

interface ParameterBase {
  description: string;
}

/** A number that changes a detector, with the bounds it must keep. */
export interface NumberParameter extends ParameterBase {
  /** A number, or one of `words`. */
  default: ParameterValue;
  /** What may stand in the number's place. */
  words?: readonly string[];
  /** Defaults for single suites, by their names. */
  suites?: Readonly<Record<string, number>>;
  /** Smallest and largest value allowed, both included unless `above` is given. */
  min?: number;
  max?: number;
  /** The value must be greater than this. */
  above?: number;
  integer: boolean;
}

/** One of a few words. */
export interface ChoiceParameter extends ParameterBase {
  default: string;
  suites?: Readonly<Record<string, string>>;
  choices: readonly string[];
}

export type Parameter = NumberParameter | ChoiceParameter;
export type ParameterValue = number | string;
/** Complete and checked, see resolveParameters. */
export type Parameters = Readonly<Record<string, ParameterValue>>;

/** What a detector reads, with certain parameters. */
export interface Needs {
  /** The passes of each set whose files it reads. */
  passes: readonly Pass[];
  /** Reads the penultimate feature of the plain pass. */
  penultimate: boolean;
  /** Reads the stages' averages of the plain pass. */
  stages: boolean;
  /** `train`: it also reads the plain pass of the in-distribution training data. */
  fit: 'none' | 'train';
}

interface DetectorBase {
  name: string;
  title: string;
  parameters: Readonly<Record<string, Parameter>>;
  /** One line: what is averaged over the members, and where. */
  fusion: string;
  /**
   * Where the members of an ensemble meet: networks of different architectures may do so in their logits, never in their
   * features.
   */
  space: 'logits' | 'features';
  needs(parameters: Parameters): Needs;
}

/** Some images of a set, as the members of one subset (a mode, or an ensemble of them) see them. */
export interface RowBlock {
  /** Place of the first row in the set. */
  first: number;
  rows: number;
  classes: number;
  /** Mean of the members' logits, row-major. // [rows, classes] */
  logits: Float64Array;
  /** L1 norms of the members' penultimate features; empty unless `needs.penultimate`. // M × [rows] */
  featureNorms: readonly Float64Array[];
}

/** Scores each image by itself, from the mean of the logits of one pass. A single mode is an ensemble of one. */
export interface RowDetector extends DetectorBase {
  space: 'logits';
  /** The pass whose logits it reads. */
  pass(parameters: Parameters): Pass;
  /** Divides the logits before their softmax; a mean of softmax instead of logits needs to know it. */
  temperature(parameters: Parameters): number;
  /** False where the score is no function of softmax(z̄/T), so that a mean of softmax has no meaning for it. */
  readsSoftmax: boolean;
  /** Larger = in-distribution. // → [rows] */
  scoreRows(block: RowBlock, parameters: Parameters): Float64Array;
}

/** One data set as the members of one subset see it. */
export interface SetContext {
  /** What errors call it. */
  name: string;
  /** Rows N. */
  count: number;
  /** One file of the plain pass a member, rows in the same order. */
  files: readonly FeatureFile[];
}

/** Native computations that a detector may ask for; tests give their own. */
export interface Services {
  neighbours(options: Omit<NeighboursOptions, 'memory'>, hooks: JobHooks): Job<NeighboursResult>;
  /**
   * Feature files of a pass in which each member depends on those before it (`gradient: accumulated`), made where they are
   * missing; absent where there are feature files alone. For each set, the in-distribution test set first, the paths of all
   * members but the first, which depends on none.
   */
  together?: ((members: readonly string[], pass: Pass) => Promise<string[][]>) | undefined;
  /** The networks themselves; absent where there are feature files alone. */
  networks?: Networks | undefined;
}

export interface ScoreContext {
  /** The members' names. */
  members: readonly string[];
  /** The in-distribution test set first. */
  sets: readonly SetContext[];
  /** Plain pass of the training data, one file a member; empty unless the detector's `needs.fit` is `train`. */
  train: readonly FeatureFile[];
  parameters: Parameters;
  threads: number;
  hooks: Pick<JobHooks, 'signal' | 'onProgress' | 'onLog'>;
  services: Services;
}

/** Scores whole sets, with what it learnt from the training data. */
export interface SetDetector extends DetectorBase {
  /**
   * Scores of each set, larger = in-distribution, in data-set order. A set's scores never depend on which other OoD sets
   * are given along with it.
   *
   * @returns one array [N] for each of `context.sets`
   */
  scoreSets(context: ScoreContext): Promise<Float64Array[]>;
  /**
   * Where it scores images after a step (`Networks.stageScores` of whole sets): the step's magnitude for these members,
   * so that whoever passes the sets through the networks can make the scores of a mode on the way. 0: none.
   */
  magnitudeOf?(members: readonly string[], parameters: Parameters, networks: Networks): Promise<number>;
  /** What the scores of these members depend on besides their features and the parameters. */
  dependsOn?(members: readonly string[], parameters: Parameters, networks: Networks): Promise<Json>;
}

/** One way to tell InD from OoD, from what was stored: for a single mode and, by its fusion rule, for an ensemble. */
export type Detector = RowDetector | SetDetector;

/** A parameter that is a number. */
export function numberOf(parameters: Parameters, name: string): number {
  return parameters[name] as number;
}

/** The temperature of detectors that have one. */
export function temperatureOf(parameters: Parameters): number {
  return (parameters.temperature as number | undefined) ?? 1;
}

/** What a detector needs that reads the logits of one pass and nothing else. */
export function logitsOf(pass: Pass): Needs {
  return { passes: [pass], penultimate: false, stages: false, fit: 'none' };
}

/** Applies a function to each row of the mean logits. `score` reads `classes` numbers from `offset` on. */
export function eachRow(
  { rows, classes, logits }: RowBlock,
  score: (logits: Float64Array, offset: number, classes: number, row: number) => number,
): Float64Array {
  return Float64Array.from({ length: rows }, (_, row) => score(logits, row * classes, classes, row));
}
