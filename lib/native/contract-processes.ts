/** The part of the addon's contract that is about other processes; see contract.ts. */

import type { AugmentOptions, DataHandle, TransformOptions } from './contract-data.js';

/** Opaque; belongs to the environment that made it. */
export interface RanksHandle {
  readonly __ranks: unique symbol;
}

/** How the processes that train one network together find each other. */
export interface JoinOptions {
  /** `tcp`: connections between them; `mpi`: they were started by an MPI's launcher, which knows all that follows. */
  kind: 'tcp' | 'mpi';
  /** From 0, and how many they are. */
  rank: number;
  size: number;
  /** Of tcp: where rank 0 keeps the others' addresses (PyTorch's TCPStore), under names that begin with `prefix`. */
  address: string;
  port: number;
  prefix: string;
  /** The keeper runs already, as torchrun's agent. */
  agent: boolean;
}

export interface JoinResult {
  rank: number;
  size: number;
  handle: RanksHandle;
}

/** Comparisons of a GPU with the CPU: see Addon.checkDevice. */
export interface CheckDeviceOptions {
  /** `cuda:N`. */
  device: string;
  /** Batches of a training with padded crops are prepared on both. */
  data: DataHandle;
  transform: TransformOptions;
  augment: AugmentOptions;
  batchSize: number;
  threads: number;
  workers: number;
}

export interface DeviceCheck {
  name: string;
  passed: boolean;
  /** What was found, in words. */
  found: string;
}

export interface ShareOptions {
  ranks: RanksHandle;
  /** Of rank 0 what all get; of the others of no importance. */
  text: string;
}
