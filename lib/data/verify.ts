/** Whether data is whole: every image decoded, and archives compared with their published checksums. */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { hasCode, ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';
import type { Addon, ReaderName, VerifyResult } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { type OpenDataSettings, openData } from './open.js';
import { type DataSpec, READERS } from './spec.js';
import type { FoundSuite } from './suite.js';
import type { Archive } from './suites.js';

/**
 * Reads and decodes every image of a set and lists those that are bad.
 *
 * @throws ModeEnsembleError E_CONFIG, E_DATA where the set cannot be opened, E_ABORTED
 */
export async function verifyData(spec: DataSpec | string, settings: OpenDataSettings = {}): Promise<VerifyResult> {
  const { threads = availableParallelism(), addon = getAddon() } = settings;
  using data = await openData(spec, { ...settings, threads, addon });
  return await startJob((sink) => addon.verifyData({ data: data.handle, threads }, sink), settings).done;
}

/** What is known of one set once every image of it was read. */
export interface SetVerdict {
  set: string;
  reader: ReaderName;
  path: string;
  isGood: boolean;
  /** Images that it should have, where a suite says it, and whether it has fewer. */
  expected?: number;
  isIncomplete?: boolean;
  /** Why it cannot be opened at all; then nothing else is known. */
  fault?: string;
  result?: VerifyResult;
}

export interface ArchiveVerdict {
  archive: string;
  path: string;
  isGood: boolean;
  /** As published; or a set that is read from the file itself has fewer images, so that it must differ; or another. */
  state: 'published' | 'shortened' | 'other';
  /** The published MD5, and the file's. */
  expected: string;
  found: string;
}

export interface VerifySettings extends JobHooks {
  /** Told what is looked at next. */
  onStage?: ((stage: string) => void) | undefined;
  threads?: number | undefined;
  addon?: Addon | undefined;
}

/** A set to be verified: its title, its spec, and the base of the spec's path. */
export interface VerifyTarget {
  title: string;
  spec: DataSpec;
  root: string;
  /** Images that it should have. */
  expected?: number;
}

/**
 * Verifies sets one after another; one that cannot be opened is told, and does not end it.
 *
 * @throws ModeEnsembleError E_CONFIG, E_ABORTED
 */
export async function verifySets(
  targets: readonly VerifyTarget[],
  settings: VerifySettings = {},
): Promise<SetVerdict[]> {
  const { onStage, ...others } = settings;
  const verdicts: SetVerdict[] = [];
  for (const { title, spec, root, expected } of targets) {
    const about = {
      set: title,
      reader: spec.reader,
      path: pathOf(spec, root),
      ...(expected === undefined ? {} : { expected }),
    };
    onStage?.(`verify ${title}`);
    try {
      const result = await verifyData(spec, { ...others, root, where: title });
      const isIncomplete = expected !== undefined && result.count < expected;
      verdicts.push({ ...about, isGood: result.badCount === 0, isIncomplete, result });
    } catch (error) {
      if (!hasCode(error, 'E_DATA') && !hasCode(error, 'E_IO')) throw error;
      verdicts.push({ ...about, isGood: false, fault: (error as Error).message });
    }
  }
  return verdicts;
}

function pathOf({ reader, path }: DataSpec, root: string): string {
  if (READERS[reader].isDrawn) return `${reader}:${path}`;
  return isAbsolute(path) ? path : join(root, path);
}

/** The sets of suites that are there, each once: several suites share some. */
export function verifyTargets(suites: readonly FoundSuite[]): VerifyTarget[] {
  const targets = new Map<string, VerifyTarget>();
  for (const { root, train, test, out } of suites) {
    for (const { title, spec, images } of [train, test, ...out]) {
      if (!spec) continue;
      const key = JSON.stringify([spec.reader, join(root, spec.path), spec.split]);
      if (!targets.has(key)) targets.set(key, { title, spec, root, expected: images });
    }
  }
  return [...targets.values()];
}

/**
 * The archives with a published checksum that lie in the suites' folder, or in or beside a place of their set.
 *
 * @returns each file once
 */
export function findArchives(suites: readonly FoundSuite[]): { archive: Archive; path: string }[] {
  const files = new Map<string, Archive>();
  for (const { root, suite } of suites) {
    for (const set of [suite.in, ...suite.out]) {
      const folders = set.places.flatMap(({ path }) => [path, dirname(path)]);
      for (const folder of new Set(['.', ...folders])) {
        for (const archive of set.archives) {
          const path = join(root, folder, archive.name);
          if (archive.md5 !== undefined && isFile(path)) files.set(path, archive);
        }
      }
    }
  }
  return [...files].map(([path, archive]) => ({ archive, path }));
}

/** False as well for what may not be looked at: that is told of the set in that folder. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Compares archives with their published MD5. @throws ModeEnsembleError E_IO, E_ABORTED */
export async function verifyArchives(
  archives: readonly { archive: Archive; path: string }[],
  settings: VerifySettings = {},
): Promise<ArchiveVerdict[]> {
  const verdicts: ArchiveVerdict[] = [];
  for (const { archive, path } of archives) {
    settings.onStage?.(`checksum of ${archive.name}, MB`);
    const found = await md5Of(path, settings);
    const expected = archive.md5 ?? '';
    const isGood = found === expected;
    verdicts.push({ archive: archive.name, path, isGood, state: isGood ? 'published' : 'other', expected, found });
  }
  return verdicts;
}

/**
 * A file that is read as it was downloaded (SVHN's) differs from the published one where images were left out of it. That
 * is told of its set, and is no second fault.
 */
export function explainShortened(archives: readonly ArchiveVerdict[], sets: readonly SetVerdict[]): ArchiveVerdict[] {
  return archives.map((archive) => {
    const isShort = sets.some(
      ({ reader, path, isIncomplete, isGood }) =>
        reader === 'svhn' && isIncomplete && isGood && join(path, archive.archive) === archive.path,
    );
    return archive.state === 'other' && isShort ? { ...archive, isGood: true, state: 'shortened' } : archive;
  });
}

const MB = 1e6;

/** MD5 (hex) of a file of any size; progress is in megabytes. @throws ModeEnsembleError E_IO, E_ABORTED */
export async function md5Of(file: string, { signal, onProgress }: JobHooks = {}): Promise<string> {
  const hash = createHash('md5');
  const began = performance.now();
  let bytes = 0;
  try {
    const size = statSync(file).size;
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20, signal })) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      const rate = bytes / MB / Math.max(1e-3, (performance.now() - began) / 1000);
      const [done, total] = [Math.round(bytes / MB), Math.round(size / MB)];
      onProgress?.({ type: 'progress', phase: 'checksum', done, total, rate });
    }
  } catch (error) {
    if (signal?.aborted) throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.', { cause: error });
    throw ioError(error, file, 'read');
  }
  return hash.digest('hex');
}
