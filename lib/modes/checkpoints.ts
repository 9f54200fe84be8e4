import { basename, dirname, extname, resolve } from 'node:path';
import { canonicalJson } from '../config/canonical.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import type { TransformSettings } from '../config/schema.js';
import type { Addon, TransformOptions } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { type Architectures, archOptions, type ModeArch, resolveArch, scriptArch } from './arch.js';
import { readCheckpoint, weightsHash } from './find.js';
import { inspectCheckpoint } from './inspect.js';
import type { ModeMetadata } from './metadata.js';
import { overrideTransform } from './transform.js';

/** Checkpoints of one architecture, ready to be evaluated together. */
export interface CheckpointSet {
  arch: ModeArch;
  /** Names of the classes; undefined where no checkpoint says them. */
  classes: readonly string[] | undefined;
  transform: TransformOptions;
  members: { name: string; checkpoint: string; weightsHash: string }[];
  /** False where the networks give logits alone. */
  hasPenultimate: boolean;
}

export interface OpenCheckpointsSettings {
  /** Needed where the checkpoints do not say it themselves. `script` or `script:FILE` for TorchScript modules. */
  arch?: string | undefined;
  width?: number | undefined;
  /** An architecture whose preprocessing is taken instead of the checkpoints' own. */
  preprocessing?: string | undefined;
  /** What is to differ from the preprocessing. */
  transform?: TransformSettings | undefined;
  /** The preprocessing of networks that do not say one, as TorchScript modules. */
  fallback?: TransformOptions | undefined;
  addon?: Addon | undefined;
  hooks?: JobHooks | undefined;
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
  const script = /^script(?::(.+))?$/.exec(settings.arch ?? '');
  const all = script?.[1] === undefined ? files : [script[1], ...files];
  if (all.length === 0) throw new ConfigError('--checkpoint: expected at least one file, found nothing');
  const paths = all.map((file) => resolve(file));
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) throw new ConfigError(`checkpoint ${all[paths.indexOf(twice)]} is given twice`);
  return script ? openScripts(all, settings) : openOwn(all, settings);
}

async function openOwn(files: readonly string[], settings: OpenCheckpointsSettings): Promise<CheckpointSet> {
  const { addon, transform, preprocessing, hooks } = settings;
  const metadata = await Promise.all(files.map((file) => readCheckpoint(file, addon, hooks)));
  const arch = await commonArch(files, metadata, settings);
  const same = <T>(what: string, value: (one: ModeMetadata) => T) => common(files, metadata, what, value);
  const own = same('preprocessing', (one) => one.preprocessing) ?? arch.transform;
  const base = preprocessing === undefined ? own : preprocessingOf(preprocessing, addon);
  return {
    arch,
    classes: same('classes', (one) => one.classes),
    transform: overrideTransform(base, transform, '--crop'),
    members: await namedMembers(files, metadata, hooks),
    hasPenultimate: true,
  };
}

/** TorchScript modules say nothing about themselves: what they give is tried out. */
async function openScripts(files: readonly string[], settings: OpenCheckpointsSettings): Promise<CheckpointSet> {
  const { addon = getAddon(), hooks } = settings;
  const transform = scriptTransform(settings);
  const members = await namedMembers(
    files,
    files.map(() => undefined),
    hooks,
  );
  const arch = scriptArch(`script-${members.map(({ name }) => name)[0]}`, transform);
  const widths: number[] = [];
  for (const checkpoint of files) {
    const options = { arch: archOptions(arch, 0), checkpoint, size: transform.crop };
    const { penultimate } = await startJob((sink) => addon.probe(options, sink), hooks ?? {}).done;
    if (widths.length > 0 && penultimate !== widths[0]) {
      const sentence = `expected a feature of ${widths[0]} numbers as in ${files[0]}, found ${penultimate}`;
      throw new ModeEnsembleError('E_CHECKPOINT', `${checkpoint}: ${sentence}.`);
    }
    widths.push(penultimate);
  }
  return { arch, classes: undefined, transform, members, hasPenultimate: (widths[0] ?? 0) > 0 };
}

function scriptTransform(settings: OpenCheckpointsSettings): TransformOptions {
  const { preprocessing, transform, fallback, addon } = settings;
  const given = preprocessing === undefined ? fallback : preprocessingOf(preprocessing, addon);
  if (given) return overrideTransform(given, transform, '--crop');
  const { crop, mean, std } = transform ?? {};
  if (crop === undefined || mean === undefined || std === undefined) {
    throw new ConfigError(
      '--arch: a TorchScript module does not say its preprocessing; give --preprocessing ARCH, or --crop, --mean and --std',
    );
  }
  const base: TransformOptions = { resize: crop, fit: 'both', filter: 'bilinear', crop, mean, std };
  return overrideTransform(base, transform, '--crop');
}

function preprocessingOf(arch: string, architectures: Architectures | undefined): TransformOptions {
  return resolveArch(arch, undefined, { where: '--preprocessing', architectures }).transform;
}

function namedMembers(
  files: readonly string[],
  metadata: readonly (ModeMetadata | undefined)[],
  hooks: JobHooks | undefined,
) {
  const names = memberNames(files, metadata);
  return Promise.all(
    files.map(async (checkpoint, index) => ({
      name: names[index] as string,
      checkpoint,
      weightsHash: await weightsHash(checkpoint, hooks?.signal),
    })),
  );
}

async function commonArch(
  files: readonly string[],
  metadata: readonly (ModeMetadata | undefined)[],
  { arch, width, addon: architectures, hooks }: OpenCheckpointsSettings,
): Promise<ModeArch> {
  const said = files.flatMap((file, index) => {
    const one = metadata[index];
    return one ? [{ file, arch: resolveArch(one.arch, one.width, { where: file, architectures }) }] : [];
  });
  const wanted =
    arch === undefined
      ? (said[0]?.arch ?? (await identify(files[0] as string, architectures, hooks)))
      : resolveArch(arch, width, { where: '--arch', architectures });
  const other = said.find(({ arch: { id } }) => id !== wanted.id);
  if (other) {
    throw new ModeEnsembleError('E_CHECKPOINT', `${other.file}: expected a ${wanted.id}, found a ${other.arch.id}`);
  }
  return wanted;
}

/** The architecture whose tensors a file holds that does not name one. */
async function identify(file: string, addon: Addon | undefined, hooks: JobHooks | undefined): Promise<ModeArch> {
  const { fits } = await inspectCheckpoint(file, { identify: true, addon }, hooks);
  if (!fits) {
    const sentence = 'does not say its architecture, and its weights fit none that is listed';
    throw new ConfigError(`${file}: ${sentence}; name it with --arch (and --width)`);
  }
  const arch = resolveArch(fits.name, fits.width, { architectures: addon });
  hooks?.onLog?.({ type: 'log', level: 'info', message: `${file}: its weights are those of a ${arch.id}` });
  return arch;
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
  // Modes of the paper's code lie in folders such as save/CIFAR10/R18/seed-1000.
  const seedFolder = (file: string) => /^seed-(\d+)$/.exec(folder(file))?.[1];
  const ways: (string | undefined)[][] = [
    files.map((file, index) => (metadata[index] ? String(metadata[index].seed) : seedFolder(file))),
    files.map((file) => (stem(file) === 'checkpoint' ? folder(file) : stem(file))),
    files.map((file) => `${folder(file)}-${stem(file)}`),
    files.map((file) => resolve(file).replaceAll(/[/\\]+/g, '-')),
  ];
  const isDistinct = (names: (string | undefined)[]): names is string[] =>
    !names.includes(undefined) && new Set(names).size === names.length;
  // `+` joins members in results.
  return (ways.find(isDistinct) ?? files.map(String)).map((name) => name.replaceAll('+', '_'));
}
