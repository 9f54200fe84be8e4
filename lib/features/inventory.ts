/** What lies in a feature store, in which state, and how it is removed. */
import { lstat, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, hasCode, ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';
import type { JobHooks } from '../native/job.js';
import { EXTRACTOR_VERSION } from './key.js';
import { type About, type KnownName, knownName } from './kinds.js';
import { LEFTOVER_MS } from './temporary.js';

/**
 * - `whole`: the head is sound (features verify reads the rest)
 * - `outdated`: made by another version of the extractor: never used again
 * - `foreign`: it carries another key than its name says: never used
 * - `damaged`: never used
 * - `alone`: it belongs to a feature file that is not there
 * - `writing`: a temporary file that may be being written
 * - `leftover`: a temporary file to which nothing was written for a day
 * - `unknown`: none of ours; never removed
 */
export type StoredState = 'whole' | 'outdated' | 'foreign' | 'damaged' | 'alone' | 'writing' | 'leftover' | 'unknown';

/** What rm --stale removes: what is of no use to anybody. */
const STALE: readonly StoredState[] = ['outdated', 'foreign', 'damaged', 'alone', 'leftover'];

export interface StoredFile {
  name: string;
  path: string;
  /** A row's name in KINDS; null for what is none of ours. */
  kind: string | null;
  /** Of the name. */
  key: string | null;
  bytes: number;
  /** When it was written last, in milliseconds since 1970. */
  modified: number;
  state: StoredState;
  /** Why it is not whole. */
  reason?: string | undefined;
  about: About;
}

/**
 * Looks at each file in a feature store; of feature files the head is read.
 *
 * @throws ModeEnsembleError E_IO where the folder cannot be read
 */
export async function listStored(folder: string, now: number = Date.now()): Promise<StoredFile[]> {
  let names: string[];
  try {
    names = (await readdir(folder)).sort();
  } catch (error) {
    throw ioError(error, folder, 'read');
  }
  const there = new Set(names);
  const files: StoredFile[] = [];
  for (const name of names) {
    const file = await lookAt(join(folder, name), name, there, now);
    if (file) files.push(file);
  }
  return files;
}

/** Undefined where the file went away in the meantime. */
async function lookAt(path: string, name: string, there: ReadonlySet<string>, now: number) {
  const known = knownName(name);
  try {
    const info = await stat(path).catch(() => lstat(path));
    const base = { name, path, bytes: info.size, modified: info.mtimeMs, about: {} };
    if (!known || !info.isFile()) return { ...base, kind: null, key: null, state: 'unknown' as const };
    const { kind, key, isTemporary } = known;
    const file = { ...base, kind: kind.name, key };
    if (isTemporary) return { ...file, state: now - info.mtimeMs > LEFTOVER_MS ? 'leftover' : 'writing' } as const;
    return { ...file, ...(await stateOf(path, known, there)) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw ioError(error, path, 'read');
  }
}

async function stateOf(
  path: string,
  { kind, key }: KnownName,
  there: ReadonlySet<string>,
): Promise<Pick<StoredFile, 'state' | 'reason' | 'about'>> {
  let about: About;
  try {
    about = await kind.look(path);
  } catch (error) {
    if (!hasCode(error, 'E_DATA') && !hasCode(error, 'E_IO')) throw error;
    return { state: 'damaged', reason: (error as Error).message, about: {} };
  }
  if (about.key !== undefined && about.key !== key) {
    return { state: 'foreign', reason: `${path} holds other features: its key is ${about.key}.`, about };
  }
  if (about.extractor !== undefined && about.extractor !== EXTRACTOR_VERSION) {
    const versions = `version ${about.extractor} of the extractor; ${EXTRACTOR_VERSION} is in use`;
    return { state: 'outdated', reason: `${path} was made by ${versions}.`, about };
  }
  if (kind.isAddition && !there.has(`${key}.safetensors`)) {
    return { state: 'alone', reason: `${path}: the feature file that it belongs to is not there.`, about };
  }
  return { state: 'whole', about };
}

/** What belongs to a run: checkpoints and data sets by their hashes. */
export interface UsedContent {
  weights: ReadonlySet<string>;
  fingerprints: ReadonlySet<string>;
}

export interface Selection {
  /** Beginnings of keys, of at least four digits. */
  keys?: readonly string[] | undefined;
  stale?: boolean | undefined;
  all?: boolean | undefined;
  /** What is of none of these checkpoints and data sets. */
  unusedBy?: UsedContent | undefined;
  /** Narrows the others, or stands alone: what was written more than so many milliseconds ago. */
  olderThan?: number | undefined;
}

const LEAST_DIGITS = 4;

/**
 * Chooses what is to be removed: never what is not ours, nor what may be being written.
 *
 * @throws ConfigError for a key that is none, or that no file or more than one key begins with
 */
export function chooseStored(files: readonly StoredFile[], selection: Selection, now = Date.now()): StoredFile[] {
  const { keys = [], stale = false, all = false, unusedBy, olderThan } = selection;
  const ours = files.filter(({ kind, state }) => kind !== null && state !== 'writing');
  const wanted = new Set(keys.map((text) => wholeKey(text, files)));
  const isAnyAsked = keys.length > 0 || stale || unusedBy !== undefined;
  return ours.filter((file) => {
    if (olderThan !== undefined && now - file.modified <= olderThan) return false;
    if (all || (!isAnyAsked && olderThan !== undefined)) return true;
    if (file.key !== null && wanted.has(file.key)) return true;
    if (stale && STALE.includes(file.state)) return true;
    return unusedBy !== undefined && isUnused(file, unusedBy, files);
  });
}

/** The key that begins with these digits. */
export function wholeKey(text: string, files: readonly StoredFile[]): string {
  const digits = text.toLowerCase();
  if (!/^[0-9a-f]{1,64}$/.test(digits) || digits.length < LEAST_DIGITS) {
    throw new ConfigError(`"${text}" is no key: expected ${LEAST_DIGITS} to 64 hexadecimal digits`);
  }
  const found = [...new Set(files.flatMap(({ key }) => (key?.startsWith(digits) ? [key] : [])))];
  if (found.length === 1) return found[0] as string;
  const what = found.length === 0 ? 'no file has such a key' : `${found.length} keys begin with it`;
  throw new ConfigError(`key ${text}: ${what}; mode-ensemble features ls lists them`);
}

/** Files that do not say of which content they are may be in use; an addition goes with its feature file. */
function isUnused({ kind, key, about }: StoredFile, used: UsedContent, files: readonly StoredFile[]): boolean {
  if (kind !== 'features') {
    const main = files.find((other) => other.kind === 'features' && other.key === key && other.state === 'whole');
    return main !== undefined && kind === 'skipped' && isUnused(main, used, files);
  }
  const { weights, fingerprint } = about;
  if (weights !== undefined && !used.weights.has(weights)) return true;
  return fingerprint !== undefined && !used.fingerprints.has(fingerprint.replace(/\+skip$/, ''));
}

/** @throws ConfigError where nothing in a folder, and yet something, is ours: it is another folder than was meant */
export function requireStore(folder: string, files: readonly StoredFile[]): void {
  if (files.length === 0 || files.some(({ kind }) => kind !== null)) return;
  const found = `found ${files.length} file${files.length > 1 ? 's' : ''} of which none is one`;
  throw new ConfigError(`${folder}: expected a folder of feature files, such as RUN/features, ${found}`);
}

/**
 * Removes files, unless they changed since they were listed: then another process has put a new one in their place.
 *
 * @returns what was removed
 * @throws ModeEnsembleError E_IO
 */
export async function removeStored(files: readonly StoredFile[]): Promise<StoredFile[]> {
  const removed: StoredFile[] = [];
  for (const file of files) {
    try {
      const { mtimeMs, size } = await stat(file.path).catch(() => lstat(file.path));
      if (mtimeMs !== file.modified || size !== file.bytes) continue;
      await unlink(file.path);
      removed.push(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw ioError(error, file.path, 'removed');
    }
  }
  return removed;
}

export interface StoredVerdict {
  file: StoredFile;
  /** What is wrong, a sentence each; none where it is good. */
  faults: string[];
}

const MB = 1e6;

/**
 * Reads files fully, one after another, in bounded memory; progress is in megabytes. What is unknown or temporary is left out.
 *
 * @throws ModeEnsembleError E_ABORTED
 */
export async function verifyStored(files: readonly StoredFile[], hooks: JobHooks = {}): Promise<StoredVerdict[]> {
  const checked = files.filter(({ kind, state }) => kind !== null && state !== 'writing' && state !== 'leftover');
  const total = checked.reduce((sum, { bytes }) => sum + bytes, 0);
  const began = Date.now();
  let done = 0;
  const tick = (bytes: number) => {
    if (hooks.signal?.aborted) throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.');
    done = Math.min(total, done + bytes);
    const rate = done / MB / Math.max(1e-3, (Date.now() - began) / 1000);
    const [whole, all] = [Math.round(done / MB), Math.round(total / MB)];
    hooks.onProgress?.({ type: 'progress', phase: 'verify', done: whole, total: all, rate });
  };
  const verdicts: StoredVerdict[] = [];
  let before = 0;
  for (const file of checked) {
    const faults = await faultsOf(file, tick);
    before += file.bytes;
    tick(Math.max(0, before - done));
    if (faults) verdicts.push({ file, faults });
  }
  return verdicts;
}

/** Undefined where the file went away in the meantime. */
async function faultsOf(file: StoredFile, tick: (bytes: number) => void): Promise<string[] | undefined> {
  const known = knownName(file.name);
  if (!known || file.state === 'alone') return [];
  try {
    return (await known.kind.verify(file.path, known.key, tick)).map((fault) => `${file.path}: ${fault}`);
  } catch (error) {
    if ((error as { cause?: NodeJS.ErrnoException }).cause?.code === 'ENOENT') return undefined;
    if (!hasCode(error, 'E_DATA') && !hasCode(error, 'E_IO')) throw error;
    return [(error as Error).message];
  }
}
