import { canonicalHash } from '../config/canonical.js';
import type { ArchOptions, Precision, Storage, TransformOptions } from '../native/contract.js';
import { type Pass, passId } from './pass.js';

/**
 * Version of what a pass over the data yields (tensors, their names and their numbers). Raise it whenever native/extract
 * or a network's forward pass changes a stored number: older files are then no longer found.
 */
export const EXTRACTOR_VERSION = '1';

/** Everything that a feature file's content depends on. Batch size and threads are not among it. */
export interface FeatureSource {
  /** SHA-256 of the checkpoint's weights. */
  weights: string;
  /** The data set's fingerprint, as openData gives it. */
  fingerprint: string;
  transform: TransformOptions;
  precision: Precision;
  /** EXTRACTOR_VERSION. */
  extractor: string;
  arch: ArchOptions;
  pass: Pass;
  storage: Storage;
  /** Of a pass that depends on other modes too: SHA-256 of their weights, in order. */
  after?: readonly string[] | undefined;
}

/** SHA-256 (hex) over the canonical JSON of the source: equal content, equal key, in whatever order the fields stand. */
export function featureKey(source: FeatureSource): string {
  // Fields are named one by one, so that a wider object with the same content has the same key.
  const { weights, fingerprint, transform, precision, extractor, arch, pass, storage, after = [] } = source;
  const { resize, fit, filter, crop, mean, std } = transform;
  return canonicalHash({
    weights,
    fingerprint,
    transform: { resize, fit, filter, crop, mean: [...mean], std: [...std] },
    precision,
    extractor,
    // Dropout is of training alone.
    arch: { name: arch.name, width: arch.width, classes: arch.classes },
    pass: passId(pass),
    storage,
    after: [...after],
  });
}
