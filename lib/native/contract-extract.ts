/** The part of the addon's contract (contract.ts) that is about passing data sets through networks. */
import type { ArchOptions, Precision } from './contract.js';
import type { DataHandle, SkippedImage, TransformOptions } from './contract-data.js';

/**
 * What is made of an image and a network:
 * - `plain`: `logits` [N, C], `stage1`, `stage2` … [N, C_k] (global average of each stage), `predictions` [N], int64, and
 *   `penultimate` [N, D] where no stage's average is what the last layer reads;
 * - `perturbed`: `logits` of x̃ = x − magnitude·sign(∇_x CE(z/temperature, argmax z)) with sign(0) = +1, the gradient the
 *   network's `own`, or `accumulated`: the sum of its own and those of the members before it;
 * - `rank1`: `logits`, ½(a+b): of the last stage's map without its rank-1 part, and of the stage before it without its own
 *   (the last one alone for transformers).
 *
 * Every file has `labels` [N], int64. Logits are float32.
 */
export interface PassOptions {
  kind: 'plain' | 'perturbed' | 'rank1';
  /** Of `perturbed`. */
  temperature: number;
  magnitude: number;
  gradient: 'own' | 'accumulated';
}

/** The type in which stage averages and penultimate features are stored. */
export type Storage = 'float32' | 'float16';

export interface ExtractOutput {
  pass: PassOptions;
  /** Feature file to write (whole or not at all). */
  path: string;
  storage: Storage;
  /** The native side adds `penultimate`: the name of the tensor that the last layer reads, '' where there is none. */
  metadata: Record<string, string>;
}

/** Mahalanobis scores of one member, made with its plain pass: what `perturbedGaussians` gives for it alone. */
export interface StageScoresOutput {
  /** What fitGaussians wrote, of `stage1`, `stage2`, … of this member. */
  statistics: string;
  magnitudes: number[];
  /** Safetensors file to write (whole or not at all), as PerturbedGaussiansOptions has it. */
  path: string;
  metadata: Record<string, string>;
}

export interface ExtractMember {
  arch: ArchOptions;
  checkpoint: string;
  /** May be empty: the gradients of such a member are still added to those of the members after it. */
  outputs: ExtractOutput[];
  stageScores: StageScoresOutput[];
}

/**
 * Each image is decoded once; of each member all outputs are made from one ordinary forward pass. Where one is perturbed, batches
 * are as small as keeps what the gradient needs within about a gibibyte.
 */
export interface ExtractOptions {
  members: ExtractMember[];
  data: DataHandle;
  transform: TransformOptions;
  batchSize: number;
  /** `cpu` or `cuda:N`. */
  device: string;
  precision: Precision;
  threads: number;
  workers: number;
}

export interface ExtractResult {
  /** Rows in each feature file. */
  count: number;
  /** The images that were passed over, the first hundred. */
  skipped: SkippedImage[];
  skippedCount: number;
  seconds: number;
}

/** The clamp of adversarial copies; `pixels` keeps what pixels from 0 to 1 normalise to, `normalized` cuts to [0, 1] after that. */
export type Clamp = 'pixels' | 'normalized' | 'none';

/**
 * Mahalanobis scores of images that took a step towards the closest class: for each stage of the members
 * max_c −½d_c² at x − magnitude·sign(∇_x ½d² of the closest class at x), sign(0) = +1, through all members at once, whose
 * pooled features are averaged. Magnitude 0 is the image as it is. Phase of progress: `perturb`. E_NUMERIC where a
 * distance is NaN or infinite.
 */
export interface PerturbedGaussiansOptions {
  members: { arch: ArchOptions; checkpoint: string }[];
  /** What fitGaussians wrote, of `stage1`, `stage2`, … of these members. */
  statistics: string;
  data: DataHandle;
  transform: TransformOptions;
  /** Images `first` to `first + count` − 1; count 0: all from `first` on. */
  first: number;
  count: number;
  magnitudes: number[];
  /**
   * Where it is given, the images are first replaced by x + step·sign(∇_x of the members' mean cross-entropy with the true
   * label), sign(0) = +1, clamped.
   */
  adversarial: { step: number; clamp: Clamp } | null;
  batchSize: number;
  /** `cpu` or `cuda:N`. */
  device: string;
  precision: Precision;
  threads: number;
  workers: number;
  /** Safetensors file to write (whole or not at all): `scores` [N, magnitudes, stages], float64, and `labels` [N], int64. */
  output: string;
  metadata: Record<string, string>;
}

export interface PerturbedGaussiansResult {
  /** Rows in the file; fewer than asked for where bad images were passed over. */
  count: number;
  seconds: number;
}
