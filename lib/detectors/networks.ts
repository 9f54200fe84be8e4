/** What a detector may ask of the networks themselves, and what was tuned for them. Members and sets go by their names. */
import type { Json } from '../config/canonical.js';
import type { FeatureFile } from '../features/store.js';
import type { Clamp } from '../native/contract.js';
import type { JobHooks } from '../native/job.js';

export type NetworkHooks = Partial<Pick<JobHooks, 'signal' | 'onProgress' | 'onLog'>>;

/** Copies of images, one step up the mean of the members' cross-entropies with the true labels: stand-ins for OoD images. */
export interface Adversarial {
  /** In normalised pixels. */
  step: number;
  /** Defined where the addon's contract is. */
  clamp: Clamp;
}

/** The paper's list; of equally good ones the first is taken. */
export const MAGNITUDES: readonly number[] = [0, 0.01, 0.005, 0.002, 0.0014, 0.001, 0.0005];

/** Class means and a shared covariance for each stage, over the mean of some members' training features. */
export interface StageGaussians {
  /** The file that holds them. */
  path: string;
  /** SHA-256 of all that they depend on. */
  key: string;
  members: readonly string[];
  /** Names of the stages' tensors. */
  stages: readonly string[];
}

export interface StageScoresRequest {
  gaussians: StageGaussians;
  /** Name of the set. */
  set: string;
  /** Images `first` to `first + count` − 1; count 0: all from `first` on. */
  first: number;
  count: number;
  magnitudes: readonly number[];
  /** Their adversarial copies instead; null for the images as they are. */
  adversarial: Adversarial | null;
}

/** One magnitude: the logistic regression of the stages' scores, and what it reaches on the validation half. */
export interface MagnitudeFit {
  magnitude: number;
  /** Fractions, adversarial copies against images as they are. */
  fpr95: number;
  auroc: number;
  /** Inverse strength of the penalty, chosen by cross-validation. */
  c: number;
  coefficients: number[];
  intercept: number;
  converged: boolean;
}

/** What `tune mahalanobis` found for some members. */
export interface TuningRecord {
  /** SHA-256 of `source`, the canonical JSON of all that the record depends on. */
  key: string;
  source: Readonly<Record<string, Json>>;
  members: string[];
  /** Images of the training half, and of the validation half. */
  images: [number, number];
  magnitudes: MagnitudeFit[];
  /** The chosen one of `magnitudes`. */
  best: number;
}

/** All that is computed is kept, so that it is not computed again. */
export interface Networks {
  /** @throws ModeEnsembleError E_DATA where a class has no training image, E_NUMERIC on features that are not finite */
  gaussians(members: readonly string[], train: readonly FeatureFile[], hooks: NetworkHooks): Promise<StageGaussians>;
  /** Mahalanobis scores of images as they are, from stored features, a file a member: for each set // [N, stages] */
  storedScores(
    gaussians: StageGaussians,
    sets: readonly (readonly FeatureFile[])[],
    hooks: NetworkHooks,
  ): Promise<Float64Array[]>;
  /** Mahalanobis scores after a step, from the networks: for each magnitude // [N, stages] */
  stageScores(request: StageScoresRequest, hooks: NetworkHooks): Promise<Float64Array[]>;
  /** Until it is disposed of, networks stay ready from one call of `stageScores` to the next. */
  hold(): Disposable;
  /** Images of a set, before any bad one is passed over. */
  count(set: string): number;
  /**
   * What was tuned for exactly these members with this kind of adversarial copies; undefined where nothing was.
   *
   * @throws ConfigError where parameters were named that belong to other members
   */
  tuning(members: readonly string[], adversarial: Adversarial): Promise<TuningRecord | undefined>;
  /** All that such a record depends on. */
  tuningSource(members: readonly string[], adversarial: Adversarial): TuningRecord['source'];
  /** Tells something once, however often it is said. */
  tell(level: 'info' | 'warning', message: string): void;
}
