/** The part of the addon's contract (contract.ts) that is about points of weight space and curves between modes. */
import type { ArchOptions, Precision } from './contract.js';
import type { AugmentOptions, DataHandle, TransformOptions } from './contract-data.js';
import type { TrainOptions } from './contract-train.js';

/**
 * What an image counts as: its `own` label, what the network `prediction` is at `labelsAt`, a `random` label that stays, or
 * the `uniform` target, which gives every class the same share.
 */
export type LabelRule = 'own' | 'prediction' | 'random' | 'uniform';

export interface SurfaceSet {
  data: DataHandle;
  /** So many are picked at random; 0: all. */
  images: number;
  labels: LabelRule;
}

/** Of what normalisation's running statistics are estimated anew at each point: one pass in training mode. */
export interface StatisticsOptions {
  train: DataHandle;
  /** Null as for evaluation. */
  augment: AugmentOptions | null;
  /** So many are picked at random; 0: all. */
  images: number;
  batchSize: number;
}

/**
 * Losses of networks whose weights are Σ_k c_k v_k: the vectors v are the weights of the checkpoints and then random
 * directions, whose filters have the norms of the first checkpoint's (Li et al., arXiv 1712.09913) and which are zero for
 * biases and norms. Phases of progress: `images`, then `points`; a PointEvent for each point, in any order.
 */
export interface SurfaceOptions {
  arch: ArchOptions;
  checkpoints: string[];
  directions: number;
  /** Safetensors file to write: `direction1.<name>`, `direction2.<name>` …; '' for none. */
  directionsOutput: string;
  /** Of directions, picked images, random labels, and what estimating statistics draws. */
  seed: number;
  sets: SurfaceSet[];
  transform: TransformOptions;
  /** [points, checkpoints + directions], row by row. */
  coefficients: number[];
  /** The point [checkpoints + directions] whose predictions are labels. */
  labelsAt: number[];
  /** Null: running statistics are summed as all else. */
  statistics: StatisticsOptions | null;
  batchSize: number;
  precision: Precision;
  /** Bytes that the images of all sets may take; E_MEMORY where they take more. */
  memory: number;
  /** Networks are made ready for inference at each point; false is for comparisons. */
  frozen: boolean;
  threads: number;
  workers: number;
}

export interface SurfaceResult {
  /** Images of each set, and how many could not be decoded. */
  counts: number[];
  skipped: number[];
  /** Of the points alone. */
  seconds: number;
}

export interface PointEvent {
  type: 'point';
  /** Row of `coefficients`. */
  index: number;
  /** Of each set: the mean cross-entropy, NaN where it is not finite; the share of images that get their label, NaN where they have none. */
  losses: number[];
  accuracies: number[];
}

export interface WeightProductsOptions {
  arch: ArchOptions;
  checkpoints: string[];
}

/**
 * A curve between two modes on which the loss is low: the ends stay, one bend between them is trained with one t ~ U(0, 1) a
 * batch (Garipov et al., arXiv 1802.10026). `bezier`: (1 − t)²·a + 2t(1 − t)·bend + t²·b; `chain`: two straight lines, which
 * meet in the bend at t = ½. Phases of progress: `curve`, `images`.
 */
export interface CurveOptions extends Omit<TrainOptions, 'test' | 'ema' | 'reportSteps' | 'ranks' | 'evaluate'> {
  /** Checkpoints. */
  ends: [string, string];
  kind: CurveKind;
  /** Of the bend that is kept in `checkpoint`. */
  statistics: StatisticsOptions;
  /** Bytes that images held for `statistics` may take. */
  memory: number;
}

export type CurveKind = 'bezier' | 'chain';

export interface CurveResult {
  /** Of the last epoch's training images, each at its batch's t; accuracy in percent. */
  loss: number;
  accuracy: number;
  seconds: number;
}
