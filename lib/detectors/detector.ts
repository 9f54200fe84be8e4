import type { FeatureFile } from '../features/store.js';
import type { NeighboursOptions, NeighboursResult } from '../native/contract.js';
import type { Job, JobHooks } from '../native/job.js';

/** A number that changes a detector, with the bounds it must keep. */
export interface Parameter {
  default: number;
  /** Smallest and largest value allowed, both included unless `above` is given. */
  min?: number;
  max?: number;
  /** The value must be greater than this. */
  above?: number;
  integer: boolean;
  description: string;
}

/** What of the feature store a detector reads. */
export interface Needs {
  logits: boolean;
  penultimate: boolean;
  /** `train`: it also reads the features of the in-distribution training data. */
  fit: 'none' | 'train';
}

/** One data set as the members of one subset (a mode, or an ensemble of them) see it. */
export interface SetContext {
  /** What errors call it. */
  name: string;
  /** Rows N. */
  count: number;
  classes: number;
  /** One file a member, rows in the same order. */
  files: readonly FeatureFile[];
  /** Mean of the members' logits, row-major. // [N, C] */
  meanLogits(): Promise<Float64Array>;
}

export interface ScoreContext {
  sets: readonly SetContext[];
  /** Features of the training data, one file a member; empty unless the detector's `needs.fit` is `train`. */
  train: readonly FeatureFile[];
  /** Complete and checked, see resolveParameters. */
  parameters: Readonly<Record<string, number>>;
  threads: number;
  hooks: Pick<JobHooks, 'signal' | 'onProgress' | 'onLog'>;
  /** Starts the native nearest-neighbour job. */
  neighbours(options: NeighboursOptions, hooks: JobHooks): Job<NeighboursResult>;
}

/**
 * One way to tell InD from OoD, from what was stored: for a single mode and, by its fusion rule, for an ensemble. A
 * single mode is an ensemble of one.
 */
export interface Detector {
  name: string;
  title: string;
  needs: Needs;
  parameters: Readonly<Record<string, Parameter>>;
  /** One line: what is averaged over the members, and where. */
  fusion: string;
  /**
   * Scores of each set, larger = in-distribution, in data-set order. A set's scores never depend on which other sets
   * are given along with it.
   *
   * @returns one array [N] for each of `context.sets`
   */
  score(context: ScoreContext): Promise<Float64Array[]>;
}

/** Applies a function to each row of each set's mean logits. `score` reads `classes` numbers from `offset` on. */
export async function scoreMeanLogits(
  sets: readonly SetContext[],
  score: (logits: Float64Array, offset: number, classes: number) => number,
): Promise<Float64Array[]> {
  const all: Float64Array[] = [];
  for (const set of sets) {
    const logits = await set.meanLogits();
    all.push(Float64Array.from({ length: set.count }, (_, i) => score(logits, i * set.classes, set.classes)));
  }
  return all;
}
