/**
 * What may lie in a feature store, by the names of files: a new kind is a row in KINDS. Everything else in the folder
 * belongs to somebody else and is never touched.
 */
import { readFile, stat } from 'node:fs/promises';
import { ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';
import { readSource } from './key.js';
import { formatPassId } from './pass.js';
import { openSafetensors } from './safetensors.js';
import { FeatureFile } from './store.js';
import { finalName } from './temporary.js';
import { type Tick, verifyFeatures, verifyTensors } from './verify.js';

/** What a file says of itself; what it does not say, as files of earlier versions, is left out. */
export interface About {
  /** The key that it carries. */
  key?: string | undefined;
  /** Id of the architecture. */
  arch?: string | undefined;
  /** SHA-256 of the checkpoint. */
  weights?: string | undefined;
  /** The data set's reader, see DataSet, and fingerprint. */
  data?: string | undefined;
  fingerprint?: string | undefined;
  /** As parsePass reads it. */
  pass?: string | undefined;
  precision?: string | undefined;
  storage?: string | undefined;
  /** Version of the extractor. */
  extractor?: string | undefined;
  rows?: number | undefined;
  classes?: number | undefined;
}

export interface FileKind {
  name: string;
  /** Matches the names of its files; the first group is the key. */
  pattern: RegExp;
  /** It says something about the feature file of its key and is of no use without it. */
  isAddition: boolean;
  /** Reads the head. @throws ModeEnsembleError E_DATA where the file is damaged, E_IO */
  look(path: string): Promise<About>;
  /**
   * Reads everything, in bounded memory.
   *
   * @returns what is wrong with the content, a sentence each, without the path
   * @throws ModeEnsembleError E_DATA where the file is damaged, E_IO, E_ABORTED
   */
  verify(path: string, key: string, tick: Tick): Promise<string[]>;
}

/** Lists and records are small; what is larger is none of ours. */
const LARGEST_JSON = 64 << 20;

export const KINDS: readonly FileKind[] = [
  {
    name: 'features',
    pattern: /^([0-9a-f]{64})\.safetensors$/,
    isAddition: false,
    look: lookAtFeatures,
    verify: verifyFeatures,
  },
  {
    // Which images the feature file does without, see FeatureStore.writeSkipped.
    name: 'skipped',
    pattern: /^([0-9a-f]{64})\.skipped\.json$/,
    isAddition: true,
    look: async (path) => ({ rows: (await readList(path)).length }),
    verify: async (path) => {
      const at = (await readList(path)).findIndex((item) => !isSkipped(item));
      return at < 0 ? [] : [`element ${at}: expected an object with the texts name and reason.`];
    },
  },
  {
    // Parameters that were tuned for certain modes.
    name: 'mahalanobis',
    pattern: /^mahalanobis(?:-[a-z]+)?-([0-9a-f]{64})\.json$/,
    isAddition: false,
    look: async (path) => ({ key: textOf((await readObject(path)).key) }),
    verify: async (path, key) => keyFaults(textOf((await readObject(path)).key), key),
  },
  {
    // Statistics and scores of the stages.
    name: 'mahalanobis',
    pattern: /^mahalanobis(?:-[a-z]+)?-([0-9a-f]{64})\.safetensors$/,
    isAddition: false,
    look: async (path) => ({ key: (await openSafetensors(path)).metadata.key }),
    verify: async (path, key, tick) => {
      const file = await openSafetensors(path);
      return [...keyFaults(file.metadata.key, key), ...(await verifyTensors(file, tick))];
    },
  },
];

export interface KnownName {
  kind: FileKind;
  key: string;
  /** It is being written, or was left by a process that was killed. */
  isTemporary: boolean;
}

/** What a file of this name in a feature store is; undefined where it is none of ours. */
export function knownName(name: string): KnownName | undefined {
  const final = finalName(name);
  for (const kind of KINDS) {
    const key = kind.pattern.exec(final ?? name)?.[1];
    if (key !== undefined) return { kind, key, isTemporary: final !== undefined };
  }
  return undefined;
}

async function lookAtFeatures(path: string): Promise<About> {
  const { metadata, count, classes } = await FeatureFile.open(path);
  const source = readSource(metadata);
  const { key, arch, data, fingerprint } = metadata;
  const { weights, precision, storage, extractor } = source ?? {};
  const pass = source && formatPassId(source.pass);
  return { key, arch, weights, data, fingerprint, pass, precision, storage, extractor, rows: count, classes };
}

/** A key inside is no must in records, but a wrong one is a fault. */
function keyFaults(found: string | undefined, key: string): string[] {
  return found === undefined || found === key ? [] : [`expected the key ${key}, as in the name, found ${found}.`];
}

async function readList(path: string): Promise<unknown[]> {
  const value = await readJson(path);
  if (Array.isArray(value)) return value;
  throw new ModeEnsembleError('E_DATA', `${path}: expected a list.`);
}

async function readObject(path: string): Promise<Record<string, unknown>> {
  const value = await readJson(path);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ModeEnsembleError('E_DATA', `${path}: expected an object.`);
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > LARGEST_JSON) {
      throw new ModeEnsembleError('E_DATA', `${path}: expected at most ${LARGEST_JSON} bytes, found ${size}.`);
    }
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw ioError(error, path, 'read');
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ModeEnsembleError('E_DATA', `${path}: expected JSON (${(error as Error).message}).`, { cause: error });
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function isSkipped(value: unknown): boolean {
  const { name, reason } = (value ?? {}) as Record<string, unknown>;
  return typeof name === 'string' && typeof reason === 'string';
}
