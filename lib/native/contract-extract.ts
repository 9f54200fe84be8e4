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

export interface ExtractMember {
  arch: ArchOptions;
  checkpoint: string;
  /** May be empty: the gradients of such a member are still added to those of the members after it. */
  outputs: ExtractOutput[];
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
