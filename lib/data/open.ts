import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { ConfigError } from '../config/errors.js';
import { cacheFolder } from '../config/folders.js';
import { suggestion } from '../config/suggest.js';
import type { Addon, DataHandle, ReaderName } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { type DataSpec, parseDataSpec, READERS, type Split } from './spec.js';

/** A data set that native code holds open. It keeps memory until it is disposed of. */
export interface DataSet extends Disposable {
  readonly name: string;
  /** Its reader, and of a built-in set what is drawn: `folder`, `builtin:shapes`. Wherever it lies, this is the same. */
  readonly reader: string;
  /** Images, before any bad one is passed over. */
  readonly count: number;
  /** Names of the classes, in label order; for sets without labels the names of the sub-folders. */
  readonly classes: readonly string[];
  /** SHA-256 (hex) over the reader's version, names, sizes and a sample of the content. */
  readonly fingerprint: string;
  /** For the addon's jobs. */
  readonly handle: DataHandle;
  /** Images that cannot be decoded are passed over and counted instead of failing. */
  readonly skipBadImages: boolean;
  /** Frees the set's memory once no job uses it; a second call is harmless. */
  dispose(): void;
}

export interface OpenDataSettings extends JobHooks {
  /** What relative paths are relative to; default: the current directory. */
  root?: string | undefined;
  /** The part of the set where the spec names none; default: what its reader takes for evaluation. */
  split?: Split | undefined;
  /** Take a set whole that has no parts. */
  allowWhole?: boolean | undefined;
  skipBadImages?: boolean | undefined;
  /** Threads that index a large set; default: all. */
  threads?: number | undefined;
  /** The flag or field that errors name. */
  where?: string | undefined;
  addon?: Addon | undefined;
}

/** What readers of folders look for when a split is asked for. */
const SPLIT_FOLDERS = ['train', 'test', 'val'];

/**
 * Opens a data set: reads its index and checks it; images are read when a job asks for them.
 *
 * @param spec `[NAME=]READER:PATH[?split=test]`, as text or taken apart
 * @throws ModeEnsembleError E_CONFIG for a spec that cannot be used, E_DATA for missing or damaged data
 * @example
 * using test = await openData('cifar10:data/cifar-10-batches-bin?split=test');
 */
export async function openData(spec: DataSpec | string, settings: OpenDataSettings = {}): Promise<DataSet> {
  const { root = '.', skipBadImages = false, threads = availableParallelism() } = settings;
  const { where = 'data set', addon = getAddon() } = settings;
  const parsed = typeof spec === 'string' ? parseDataSpec(spec, where) : spec;
  const { name, reader } = parsed;
  if (reader === 'builtin') {
    const known = addon.info().builtinSets;
    if (!known.includes(parsed.path)) {
      throw new ConfigError(`${where}: unknown built-in set "${parsed.path}"; ${suggestion(parsed.path, known)}`);
    }
  }
  const below = (path: string) => (isAbsolute(path) ? path : join(root, path));
  const { isDrawn } = READERS[reader];
  const path = isDrawn ? parsed.path : below(parsed.path);
  const labelsAreFile = READERS[reader].labels === undefined && parsed.labels !== undefined;
  const options = {
    reader,
    path,
    split: splitOf(parsed, path, settings, where),
    // Absolute, as native code would look for it beside the images.
    labels: labelsAreFile ? resolve(root, parsed.labels ?? '') : (parsed.labels ?? ''),
    root: parsed.root === undefined ? '' : below(parsed.root),
    cache: join(cacheFolder(), 'indices'),
    threads,
    skipBadImages,
  };
  const { handle, count, classes, fingerprint } = await startJob((sink) => addon.openData(options, sink), settings)
    .done;
  let isOpen = true;
  const dispose = () => {
    if (isOpen) addon.disposeData(handle);
    isOpen = false;
  };
  const about = { name, reader: isDrawn ? `${reader}:${path}` : reader, count, classes, fingerprint };
  return { ...about, handle, skipBadImages, dispose, [Symbol.dispose]: dispose };
}

/** The part to take: what the spec says, else what is asked for, else what is usual. */
function splitOf(spec: DataSpec, path: string, settings: OpenDataSettings, where: string): Split | '' {
  const { split, allowWhole = false } = settings;
  const { reader } = spec;
  const row = READERS[reader];
  if (spec.split !== undefined) return spec.split;
  if (split !== undefined && row.splits.length === 0 && !allowWhole) {
    const found = `found ${reader}:${spec.path}, which has none`;
    throw new ConfigError(`${where}: expected a set with a ${split} part, ${found}`);
  }
  if ((split === undefined || allowWhole) && isWhole(reader, path)) return '';
  return split ?? row.split;
}

/** True where a set has no parts; of a tar only its reader could tell, and a part of it has to be asked for. */
function isWhole(reader: ReaderName, path: string): boolean {
  if (reader === 'tar' || READERS[reader].splits.length === 0) return true;
  const hasFolders = reader === 'folder' || reader === 'imagenet';
  return hasFolders && !SPLIT_FOLDERS.some((name) => existsSync(join(path, name)));
}
