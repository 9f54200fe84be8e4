import type { Parameters } from '../detectors/index.js';
import type { FusionName } from '../ensemble/index.js';

/** What one evaluation needs and gives; the boundary between what makes features and what reads them. */

/** Path of a feature file, by passId of the pass. */
export type PassFiles = Readonly<Record<string, string>>;

/** The feature files of one mode. Rows of a set are in the same order in every mode's file. */
export interface MemberFeatures {
  /** The mode's seed, or the name of its checkpoint: what stands in results.csv under `members`. */
  name: string;
  /** Canonical architecture id, for instance `cifar-resnet18-w16`. */
  arch: string;
  /** In-distribution training data (what fitted detectors learn from); absent where no detector needs it. */
  train?: PassFiles | undefined;
  /** In-distribution test data. */
  test: PassFiles;
  /** OoD set's name → files. */
  out: Readonly<Record<string, PassFiles>>;
}

export interface DetectorChoice {
  name: string;
  /**
   * What stands in results.csv: default: the name. Where the same detector is chosen more than once, the name with the
   * parameters, for instance `knn:k=10`.
   */
  label?: string | undefined;
  /** What differs from the defaults, see resolveParameters. */
  parameters: Parameters;
}

export interface EvaluationInput {
  /** Name of the in-distribution set. */
  in: string;
  members: MemberFeatures[];
  /** Each an ensemble, by member names. */
  ensembles: string[][];
  /** How members are brought together; default: the paper's rules. */
  fusion?: FusionName | undefined;
  detectors: DetectorChoice[];
  threads: number;
  /** How many classes the labels are of: other networks have no accuracy. Default: as many as the first mode tells apart. */
  classes?: number | undefined;
}

/** One row of results.csv. Fractions, not percent. */
export interface ResultRow {
  in: string;
  out: string;
  /** Of the members; ids joined by `+` where they differ. */
  arch: string;
  /** The detector's label. */
  detector: string;
  kind: 'mode' | 'ensemble';
  /** Member names joined by `+`. */
  members: string;
  n_in: number;
  n_out: number;
  auroc: number;
  aupr_in: number;
  aupr_out: number;
  fpr95: number;
}

/** Scores of one subset (a mode or an ensemble), one detector: larger = in-distribution; in data-set order. */
export interface ScoreSet {
  detector: string;
  members: string[];
  in: Float64Array;
  out: Record<string, Float64Array>;
}

export interface AccuracyRow {
  kind: 'mode' | 'ensemble';
  members: string;
  n: number;
  /** Fractions. `top5` is absent where there are fewer than six classes. */
  top1: number;
  top5?: number | undefined;
}

export interface Evaluation {
  /** Name of the metrics' convention, see lib/metrics. */
  convention: string;
  in: string;
  out: string[];
  /** Of all modes; ids joined by `+` where they differ. */
  arch: string;
  /** With all parameters. */
  detectors: DetectorChoice[];
  /** Modes and ensembles that tell the labels' classes apart. */
  accuracy: AccuracyRow[];
  rows: ResultRow[];
  scores: ScoreSet[];
  /** How the members of ensembles were brought together. */
  fusion: FusionName;
  warnings: string[];
}
