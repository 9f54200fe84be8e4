import type { TransformOptions } from '../native/contract.js';
import type { ModeArch } from './arch.js';

/** A trained mode as a member of an ensemble, of a surface or of a curve. */
export interface Member {
  /** The mode's seed, or the name of its checkpoint. */
  name: string;
  checkpoint: string;
  /** SHA-256 (hex) of the checkpoint. */
  weightsHash: string;
  arch: ModeArch;
  transform: TransformOptions;
  /** Outputs of the network. */
  classes: number;
}
