/** A suite in a folder: what of it is there, in words, and opened. */
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import type { JobHooks } from '../native/job.js';
import { type DataSet, type OpenDataSettings, openData } from './open.js';
import type { DataSpec, Split } from './spec.js';
import { getSuite, type Place, type Suite, type SuiteSet } from './suites.js';

/** A set of a suite, or one of the two parts of its in-distribution set. */
export interface FoundSet {
  set: SuiteSet;
  /** `CIFAR-10 (test)`, or an OoD set's own name. */
  title: string;
  /** Images that the whole set has where it was found, or would have. */
  images: number;
  /** Where it was found, with a path relative to the suite's folder; undefined where it is missing. */
  spec: DataSpec | undefined;
  /** The folder or file in which it was found, or where it belongs. */
  path: string;
}

/** A suite as it lies in a folder. No set has been opened. */
export interface FoundSuite {
  suite: Suite;
  /** The folder. */
  root: string;
  train: FoundSet;
  test: FoundSet;
  out: FoundSet[];
}

/**
 * Looks for the sets of a suite in the places where people have them. The first place in which a set is counts; the parts of
 * the in-distribution set come from one place.
 */
export function findSuite(suite: Suite, root: string): FoundSuite {
  const isHere = ({ reader, path }: Place, mark: string | undefined) =>
    reader === 'builtin' || isThere(join(root, path, mark ?? ''));
  const { in: own } = suite;
  const home =
    own.places.find((place) => isHere(place, place.mark)) ??
    own.places.find((place) => place.trainMark !== undefined && isHere(place, place.trainMark));
  const part = (split: 'train' | 'test'): FoundSet => {
    const mark = split === 'train' ? home?.trainMark : home?.mark;
    const place = home && isHere(home, mark) ? home : undefined;
    const images = split === 'train' ? (own.trainImages ?? own.images) : own.images;
    return { ...found(own, root, place, split), title: `${own.name} (${split})`, images };
  };
  const out = suite.out.map((set) =>
    found(
      set,
      root,
      set.places.find((place) => isHere(place, place.mark)),
    ),
  );
  return { suite, root, train: part('train'), test: part('test'), out };
}

function found(set: SuiteSet, root: string, place: Place | undefined, split?: Split): FoundSet {
  const { name, images, places } = set;
  const { reader, path } = place ?? (places[0] as Place);
  const spec: DataSpec = { name, reader, path, split: split ?? place?.split, labels: undefined, root: undefined };
  return {
    set,
    title: name,
    images: place?.images ?? images,
    spec: place && spec,
    path: reader === 'builtin' ? `builtin:${path}` : join(root, path),
  };
}

/**
 * As findSuite, for use: the in-distribution test data must be there, and at least one OoD set where one is needed.
 *
 * @param where the flags or fields that errors name
 * @throws ModeEnsembleError E_CONFIG for a suite or folder that is not there, E_DATA for sets that are missing
 */
export function requireSuite(
  name: string,
  root: string,
  { needsOut, where }: { needsOut: boolean; where: { suite: string; root: string } },
): FoundSuite {
  const suite = getSuite(name, where.suite);
  requireSuiteFolder(suite, root, where.root);
  const all = findSuite(suite, root);
  if (!all.test.spec) {
    // The first part of each place says enough.
    const parts = suite.in.places.map(({ path }) => (path === '.' ? 'that folder itself' : path.split('/')[0]));
    const looked = [...new Set(parts)];
    const sentence = `${where.suite}: ${all.test.title} is not in ${root}: looked for ${looked.join(', ')}`;
    throw new ModeEnsembleError('E_DATA', `${sentence}; ${whereToGet(suite.in)}`);
  }
  if (needsOut && all.out.every(({ spec }) => spec === undefined)) {
    const expected = all.out.map(({ title, path }) => `${title} as ${path}`).join(', ');
    throw new ModeEnsembleError(
      'E_DATA',
      `${where.suite}: no OoD set of ${suite.name} is in ${root}: expected ${expected}`,
    );
  }
  return all;
}

/** A suite that is not read from files, and needs no folder. */
export function isDrawn(suite: Suite): boolean {
  return suite.in.places.every(({ reader }) => reader === 'builtin');
}

/**
 * Makes sure that the folder of a suite's sets is there.
 *
 * @param where the flag or field that errors name
 * @throws ConfigError
 */
export function requireSuiteFolder(suite: Suite, root: string, where: string): void {
  if (isDrawn(suite)) return;
  const fault = folderFault(root);
  if (fault !== undefined) throw new ConfigError(`${where}: expected the folder that holds the data sets, ${fault}`);
}

/** Why a folder cannot be looked into; undefined where it can. */
export function folderFault(path: string): string | undefined {
  if (!isThere(path)) return `found no folder ${path}`;
  try {
    accessSync(path, constants.R_OK | constants.X_OK);
    return statSync(path).isDirectory() ? undefined : `found the file ${path}`;
  } catch {
    return `found ${path}, which may not be read`;
  }
}

/** What may not be looked at is there: whoever opens it is told so. */
function isThere(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch (error) {
    return !['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}

/** What is missing, where it is expected, and where to get it. */
export function missingSentence({ title, path, set }: FoundSet, isLeftOut = false): string {
  const what = isLeftOut ? 'is missing and left out' : 'is missing';
  return `${title} ${what}: expected ${path}, found nothing; ${whereToGet(set)}`;
}

function whereToGet({ archives: [archive] }: SuiteSet): string {
  return archive ? `get ${archive.name} at ${archive.url}` : '';
}

/** What a run says about a set that has fewer images than it should; undefined where it is complete. */
export function incompleteWarning({ title, images }: FoundSet, count: number): string | undefined {
  if (count >= images) return undefined;
  return `${title} is incomplete: ${grouped(count)} of ${grouped(images)} images; results are for these`;
}

/** `26,032`. */
export function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

/** The sets of a suite that are there, opened. */
export interface OpenSuite extends Disposable {
  suite: Suite;
  /** Undefined where it is missing. */
  train: DataSet | undefined;
  test: DataSet;
  out: DataSet[];
  missing: FoundSet[];
}

export interface OpenSuiteSettings extends Omit<OpenDataSettings, 'split' | 'allowWhole'> {
  /** The folder in which the sets lie; default: `data`. */
  root?: string | undefined;
}

/**
 * Opens a suite: its in-distribution set and all of its OoD sets that are there. What is missing or incomplete is told
 * as a warning to `onLog`.
 *
 * @throws ModeEnsembleError E_CONFIG, E_DATA where the in-distribution set or every OoD set is missing, or one is damaged
 * @example
 * using suite = await openSuite('cifar10', { root: 'data' });
 */
export async function openSuite(name: string, settings: OpenSuiteSettings = {}): Promise<OpenSuite> {
  const { root = 'data' } = settings;
  const all = requireSuite(name, root, { needsOut: true, where: { suite: 'suite', root: 'root' } });
  const opened: DataSet[] = [];
  const dispose = () => {
    for (const set of opened) set.dispose();
  };
  const missing: FoundSet[] = [];
  const open = async (part: FoundSet) => {
    if (!part.spec) {
      missing.push(part);
      warn(missingSentence(part, true), settings);
      return undefined;
    }
    const set = await openData(part.spec, { where: part.title, ...settings, root });
    opened.push(set);
    warn(incompleteWarning(part, set.count), settings);
    return set;
  };
  try {
    const test = (await open(all.test)) as DataSet;
    const train = await open(all.train);
    const out: DataSet[] = [];
    for (const part of all.out) {
      const set = await open(part);
      if (set) out.push(set);
    }
    return { suite: all.suite, train, test, out, missing, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** A warning, where there is one. */
export function warn(message: string | undefined, { onLog }: Pick<JobHooks, 'onLog'>): void {
  if (message !== undefined) onLog?.({ type: 'log', level: 'warning', message });
}
