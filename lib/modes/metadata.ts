/**
 * What a checkpoint says about itself, in the `__metadata__` of its safetensors file. All values are strings, and
 * nothing in it depends on the time or on where the file lies, so that equal runs write equal bytes.
 */
import { canonicalHash, canonicalJson, type Json } from '../config/canonical.js';
import { ModeEnsembleError } from '../config/errors.js';
import type { Recipe } from '../config/recipes.js';
import type { ArchOptions, TransformOptions } from '../native/contract.js';

const FORMAT = 'mode-ensemble';
const VERSION = '1';

/**
 * What a mode is, its seed apart. The number of threads is left out: it shapes the last bits of the weights, but a run
 * folder that moves to a machine with more cores must go on.
 */
export interface ModeSettings {
  arch: ArchOptions;
  /** The training data's fingerprint. */
  data: string;
  train: Recipe;
  transform: TransformOptions;
  /** Processes that shared every batch, where it was more than one: each normalised its own part. */
  ranks?: number;
}

/** The metadata of a checkpoint, understood. */
export interface ModeMetadata {
  arch: string;
  width: number;
  classes: string[];
  seed: number;
  settings: Json;
  settingsHash: string;
  preprocessing: TransformOptions;
}

/** The metadata to write. */
export function writeMetadata(
  seed: number,
  classes: readonly string[],
  settings: ModeSettings,
): Record<string, string> {
  const json = settings as unknown as Json;
  return {
    format: FORMAT,
    version: VERSION,
    arch: settings.arch.name,
    width: String(settings.arch.width),
    classes: JSON.stringify(classes),
    seed: String(seed),
    settings: canonicalJson(json),
    settingsHash: canonicalHash(json),
    preprocessing: canonicalJson({ ...settings.transform }),
  };
}

/**
 * Reads the metadata of one of our checkpoints; undefined for a file that some other program wrote.
 *
 * @throws ModeEnsembleError E_CHECKPOINT where it claims to be ours and cannot be understood
 */
export function readMetadata(metadata: Record<string, string>, file: string): ModeMetadata | undefined {
  if (metadata.format !== FORMAT) return undefined;
  if (metadata.version !== VERSION) {
    const found = `expected metadata version ${VERSION}, found ${metadata.version ?? 'nothing'}`;
    throw new ModeEnsembleError('E_CHECKPOINT', `${file}: ${found}; a newer mode-ensemble wrote it`);
  }
  const field = <T>(key: string, isRight: (value: unknown) => value is T): T => {
    let value: unknown;
    try {
      value = modern(JSON.parse(metadata[key] ?? 'null'));
    } catch {
      value = undefined;
    }
    if (isRight(value)) return value;
    throw new ModeEnsembleError('E_CHECKPOINT', `${file}: metadata field "${key}" is missing or damaged`);
  };
  return {
    arch: metadata.arch ?? '',
    width: field('width', isNumber),
    classes: field('classes', isStrings),
    seed: field('seed', isNumber),
    settings: field('settings', isMapping),
    settingsHash: metadata.settingsHash ?? '',
    preprocessing: field('preprocessing', isTransform),
  };
}

/** Preprocessing as first releases wrote it: both sides resized to `size`. */
function modern(value: unknown): unknown {
  if (!isMapping(value) || !isNumber(value.size)) return value;
  const { size, mean, std } = value;
  return { resize: size, fit: 'both', filter: 'bilinear', crop: size, mean, std };
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isMapping(value: unknown): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTransform(value: unknown): value is TransformOptions {
  const isTriple = (item: unknown) => Array.isArray(item) && item.length === 3 && item.every(isNumber);
  if (!isMapping(value) || !isNumber(value.resize) || !isNumber(value.crop)) return false;
  const isNamed = ['both', 'short'].includes(value.fit as string) && typeof value.filter === 'string';
  return isNamed && isTriple(value.mean) && isTriple(value.std);
}
