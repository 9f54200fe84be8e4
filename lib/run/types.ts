import type { Parameters } from '../detectors/index.js';
import type { FusionName } from '../ensemble/index.js';

/** What one evaluation needs and gives; the boundary between what makes features and what reads them. */
import type { ConventionName, Interval, IntervalSettings, MeasureName } from '../metrics/index.js';

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
  /** How FPR95 and AUPR are read off the scores; default: `reference`. */
  convention?: ConventionName | undefined;
  /** A bootstrap over images; without it there are no intervals. */
  intervals?: IntervalSettings | undefined;
  /** How many classes the labels are of: other networks have no accuracy. Default: as many as the first mode tells apart. */
  classes?: number | undefined;
}

/** Lower and upper ends of intervals, `auroc_lo`, `auroc_hi`, …; there where intervals are asked for. */
export type Bounds<Name extends string> = { [Key in `${Name}_lo` | `${Name}_hi`]?: number };

/** One row of results.csv. Fractions, not percent. */
export interface ResultRow extends Record<MeasureName, number>, Bounds<MeasureName> {
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
}

/**
 * Intervals of what an ensemble gains over its own modes, from resamples of the same images. Above 0, the ensemble is
 * better, whether small or large values of the metric are good.
 */
export interface GainIntervals {
  out: string;
  detector: string;
  members: string;
  /** Over the mean of its modes. */
  mean: Record<MeasureName, Interval>;
  /** Over the mode that is best in this metric on all images, the first of them where several are. */
  best: Record<MeasureName, Interval>;
}

/** Scores of one subset (a mode or an ensemble), one detector: larger = in-distribution; in data-set order. */
export interface ScoreSet {
  detector: string;
  members: string[];
  in: Float64Array;
  out: Record<string, Float64Array>;
}

export interface AccuracyRow extends Bounds<'top1' | 'top5'> {
  kind: 'mode' | 'ensemble';
  members: string;
  n: number;
  /** Fractions. `top5` is absent where there are fewer than six classes. */
  top1: number;
  top5?: number | undefined;
}

/** On what share of a set's images each pair of modes says the same. */
export interface Agreement {
  set: string;
  modes: string[];
  /** 1 on the diagonal. // [M, M] */
  share: number[][];
}

/** What an evaluation has found: everything that results.json holds. */
export interface Results {
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
  /** How the intervals were made, where they were asked for. */
  intervals?: IntervalSettings | undefined;
  /** One for each ensemble, detector and OoD set, where intervals were asked for. */
  gains?: GainIntervals[] | undefined;
  /**
   * Of predicted classes, for the InD set and each OoD set; none where fewer than two modes tell the same classes apart.
   * curves.json holds it.
   */
  agreement?: Agreement[] | undefined;
  /** How the members of ensembles were brought together. */
  fusion: FusionName;
  warnings: string[];
}

export interface Evaluation extends Results {
  scores: ScoreSet[];
}
