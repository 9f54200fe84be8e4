/** The part of the addon's contract (contract.ts) that speeds are set against. */
import type { ArchOptions } from './contract.js';

export interface CountOperationsOptions {
  arch: ArchOptions;
  /** Side of the image, in pixels. */
  size: number;
}

/** The fastest of some products of two square matrices, on the CPU. */
export interface GemmPeakOptions {
  /** Rows and columns. */
  size: number;
  precision: 'float32' | 'bfloat16';
  threads: number;
  /** At least so long, and at least three products. */
  seconds: number;
}
