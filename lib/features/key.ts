import { canonicalHash, canonicalJson, type Json } from '../config/canonical.js';
import type { ArchOptions, Precision, Storage, TransformOptions } from '../native/contract.js';
import { deviceInKey } from '../native/device.js';
import { type Pass, passId } from './pass.js';

/**
 * Version of what a pass over the data yields (tensors, their names and their numbers). Raise it whenever native/extract
 * or a network's forward pass changes a stored number: older files are then no longer found.
 */
export const EXTRACTOR_VERSION = '5';

/** Everything that a feature file's content depends on. Batch size and threads are not among it. */
export interface FeatureSource {
  /** SHA-256 of the checkpoint's weights. */
  weights: string;
  /** The data set's fingerprint, as openData gives it. */
  fingerprint: string;
  transform: TransformOptions;
  /** Default: the CPU. */
  device?: string | undefined;
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
  return canonicalHash(hashedOf(source));
}

/** What of a feature file's source is no part of its key, and yet follows from content. */
export interface FeatureOrigin {
  /** The architecture's id, for instance `cifar-resnet18-w16`. */
  arch: string;
  /** The data set's reader, see DataSet. */
  data: string;
}

/**
 * What a feature file says of itself. Only what follows from content is in it (no path, no time, no name that a user
 * chose), so that the same features are the same bytes wherever they were made.
 */
export function featureMetadata(source: FeatureSource, { arch, data }: FeatureOrigin): Record<string, string> {
  const hashed = hashedOf(source);
  // The key is the SHA-256 of `source`, which whoever reads the file can check.
  return { key: canonicalHash(hashed), fingerprint: source.fingerprint, source: canonicalJson(hashed), arch, data };
}

/** Fields are named one by one, so that a wider object with the same content has the same key. */
function hashedOf(source: FeatureSource): Json {
  const { weights, fingerprint, transform, device, precision, extractor, arch, pass, storage, after = [] } = source;
  const { resize, fit, filter, crop, mean, std } = transform;
  return {
    weights,
    fingerprint,
    transform: { resize, fit, filter, crop, mean: [...mean], std: [...std] },
    ...deviceInKey(device),
    precision,
    extractor,
    // Dropout is of training alone.
    arch: { name: arch.name, width: arch.width, classes: arch.classes },
    pass: passId(pass),
    storage,
    after: [...after],
  };
}

/** The source of a feature file, as its metadata tell it. */
export interface StoredSource {
  weights: string;
  precision: string;
  storage: string;
  extractor: string;
  /** passId of the pass. */
  pass: string;
  classes: number;
}

/** Reads `source` back; undefined where there is none, as in files of earlier versions, or where it is damaged. */
export function readSource(metadata: Readonly<Record<string, string>>): StoredSource | undefined {
  try {
    const { weights, precision, storage, extractor, pass, arch } = JSON.parse(metadata.source ?? '');
    const texts = { weights, precision, storage, extractor, pass };
    const isWhole = Object.values(texts).every((text) => typeof text === 'string');
    return isWhole && Number.isSafeInteger(arch.classes) ? { ...texts, classes: arch.classes } : undefined;
  } catch {
    return undefined;
  }
}
