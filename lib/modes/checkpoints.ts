import { basename, dirname, extname, resolve } from 'node:path';
import { canonicalJson } from '../config/canonical.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import type { TransformOptions } from '../native/contract.js';
import { type Architectures, type ModeArch, resolveArch } from './arch.js';
import { readCheckpoint, weightsHash } from './find.js';
import type { ModeMetadata } from './metadata.js';

/** Checkpoints of one architecture, ready to be evaluated together. */
export interface CheckpointSet {
  arch: ModeArch;
  /** Names of the classes; undefined where no checkpoint says them. */
  classes: readonly string[] | undefined;
  transform: TransformOptions;
  members: { name: string; checkpoint: string; weightsHash: string }[];
}

export interface OpenCheckpointsSettings {
  /** Needed where the checkpoints do not say it themselves. */
  arch?: string | undefined;
  width?: number | undefined;
  architectures?: Architectures | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Finds out what checkpoints hold and names them: by their seeds where they say them and these differ, else by file
 * or folder.
 *
 * @throws ModeEnsembleError E_CONFIG where a file is given twice or the architecture is not known, E_CHECKPOINT where
 *   they do not belong together or are damaged, E_IO
 */
export async function openCheckpoints(
  files: readonly string[],
  settings: OpenCheckpointsSettings = {},
): Promise<CheckpointSet> {
  const paths = files.map((file) => resolve(file));
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) throw new ConfigError(`checkpoint ${files[paths.indexOf(twice)]} is given twice`);
  const metadata = await Promise.all(files.map(readCheckpoint));
  const arch = commonArch(files, metadata, settings);
  const same = <T>(what: string, value: (one: ModeMetadata) => T) => common(files, metadata, what, value);
  const classes = same('classes', (one) => one.classes);
  const transform = same('preprocessing', (one) => one.preprocessing) ?? arch.transform;
  const names = memberNames(files, metadata);
  const members = await Promise.all(
    files.map(async (checkpoint, index) => ({
      name: names[index] as string,
      checkpoint,
      weightsHash: await weightsHash(checkpoint, settings.signal),
    })),
  );
  return { arch, classes, transform, members };
}

function commonArch(
  files: readonly string[],
  metadata: readonly (ModeMetadata | undefined)[],
  { arch, width, architectures }: OpenCheckpointsSettings,
): ModeArch {
  const said = files.flatMap((file, index) => {
    const one = metadata[index];
    return one ? [{ file, arch: resolveArch(one.arch, one.width, { where: file, architectures }) }] : [];
  });
  const wanted = arch === undefined ? said[0]?.arch : resolveArch(arch, width, { where: '--arch', architectures });
  if (!wanted) {
    throw new ConfigError(`${files[0]}: does not say its architecture; name it with --arch (and --width)`);
  }
  const other = said.find(({ arch: { id } }) => id !== wanted.id);
  if (other) {
    throw new ModeEnsembleError('E_CHECKPOINT', `${other.file}: expected a ${wanted.id}, found a ${other.arch.id}`);
  }
  return wanted;
}

/** A value on which all checkpoints that say it agree. */
function common<T>(
  files: readonly string[],
  metadata: readonly (ModeMetadata | undefined)[],
  what: string,
  value: (one: ModeMetadata) => T,
): T | undefined {
  const texts = metadata.map((one) => (one ? canonicalJson(value(one) as never) : undefined));
  const first = texts.findIndex((text) => text !== undefined);
  const other = texts.findIndex((text) => text !== undefined && text !== texts[first]);
  if (other >= 0) {
    throw new ModeEnsembleError('E_CHECKPOINT', `${files[other]}: its ${what} differ from those of ${files[first]}`);
  }
  const found = metadata[first];
  return found ? value(found) : undefined;
}

/** The first way of naming that tells all apart. */
function memberNames(files: readonly string[], metadata: readonly (ModeMetadata | undefined)[]): string[] {
  const stem = (file: string) => basename(file, extname(file));
  const folder = (file: string) => basename(dirname(resolve(file)));
  const ways: (string | undefined)[][] = [
    metadata.map((one) => (one ? String(one.seed) : undefined)),
    files.map((file) => (stem(file) === 'checkpoint' ? folder(file) : stem(file))),
    files.map((file) => `${folder(file)}-${stem(file)}`),
    files.map((file) => resolve(file).replaceAll(/[/\\]+/g, '-')),
  ];
  const isDistinct = (names: (string | undefined)[]): names is string[] =>
    !names.includes(undefined) && new Set(names).size === names.length;
  // `+` joins members in results.
  return (ways.find(isDistinct) ?? files.map(String)).map((name) => name.replaceAll('+', '_'));
}
