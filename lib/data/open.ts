import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import type { Addon, DataHandle, ReaderName } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { type DataSpec, parseDataSpec, type Split } from './spec.js';

/** A data set that native code holds open. It keeps memory until it is disposed of. */
export interface DataSet extends Disposable {
  readonly name: string;
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
  /** Take a folder whole that has no sub-folder for a split. */
  allowWhole?: boolean | undefined;
  skipBadImages?: boolean | undefined;
  /** The flag or field that errors name. */
  where?: string | undefined;
  addon?: Addon | undefined;
}

/** The part of a set that is taken where none is asked for. */
const DEFAULT_SPLIT: Record<ReaderName, Split | ''> = { cifar10: 'test', folder: '', builtin: '' };

/** What a spec does not say. */
const OPEN_DEFAULTS = { labels: '', root: '', cache: '', threads: 1 };

/** What the folder reader looks for when a split is asked for. */
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
  const { root = '.', allowWhole = false, skipBadImages = false, where = 'data set', addon = getAddon() } = settings;
  const parsed = typeof spec === 'string' ? parseDataSpec(spec, where) : spec;
  if (parsed.reader === 'builtin') {
    const known = addon.info().builtinSets;
    if (!known.includes(parsed.path)) {
      throw new ConfigError(`${where}: unknown built-in set "${parsed.path}"; ${suggestion(parsed.path, known)}`);
    }
  }
  const path = parsed.reader === 'builtin' || isAbsolute(parsed.path) ? parsed.path : join(root, parsed.path);
  const isWhole =
    allowWhole && parsed.reader === 'folder' && !SPLIT_FOLDERS.some((name) => existsSync(join(path, name)));
  const split = parsed.split ?? (isWhole ? '' : (settings.split ?? DEFAULT_SPLIT[parsed.reader]));
  const options = { reader: parsed.reader, path, split, ...OPEN_DEFAULTS, skipBadImages };
  const { handle, count, classes, fingerprint } = await startJob((sink) => addon.openData(options, sink), settings)
    .done;
  let isOpen = true;
  const dispose = () => {
    if (isOpen) addon.disposeData(handle);
    isOpen = false;
  };
  return { name: parsed.name, count, classes, fingerprint, handle, skipBadImages, dispose, [Symbol.dispose]: dispose };
}
