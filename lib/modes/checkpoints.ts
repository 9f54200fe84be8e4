import { extname, resolve } from 'node:path';
import { canonicalJson } from '../config/canonical.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import type { TransformSettings } from '../config/schema.js';
import type { Addon, Inspection, TransformOptions } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { type Architectures, archOptions, type ModeArch, resolveArch, SCRIPT, scriptArch } from './arch.js';
import { readCheckpoint, weightsHash } from './find.js';
import { inspectCheckpoint } from './inspect.js';
import { memberNames } from './member-names.js';
import type { ModeMetadata } from './metadata.js';
import { overrideTransform } from './transform.js';

/** A checkpoint that was looked into, ready to be evaluated. */
export interface CheckpointMember {
  name: string;
  checkpoint: string;
  /** SHA-256 (hex) of the file. */
  weightsHash: string;
  arch: ModeArch;
  transform: TransformOptions;
  /** False where the network gives logits alone. */
  hasPenultimate: boolean;
  /** False where it is only known as a whole. */
  hasStages: boolean;
  /** How many classes it tells apart; undefined where that shows only when its weights are read. */
  classes: number | undefined;
}

/** Checkpoints to be evaluated together, of one architecture or of several. */
export interface CheckpointSet {
  members: CheckpointMember[];
  /** Names of the classes, on which all agree that say them; undefined where none does. */
  classes: readonly string[] | undefined;
}

export interface OpenCheckpointsSettings {
  /**
   * One for all checkpoints that do not say it themselves, or one for each checkpoint. `script` for TorchScript modules;
   * `script:FILE` brings a module of its own.
   */
  arch?: string | readonly string[] | undefined;
  /** With `arch`: one for all, or one for each checkpoint. */
  width?: number | readonly number[] | undefined;
  /** An architecture whose preprocessing is taken instead of the checkpoints' own. */
  preprocessing?: string | undefined;
  /** What is to differ from the preprocessing. */
  transform?: TransformSettings | undefined;
  /** The preprocessing of networks that do not say one, as TorchScript modules. */
  fallback?: TransformOptions | undefined;
  addon?: Addon | undefined;
  hooks?: JobHooks | undefined;
}

/** A file, and what is said of it from outside. */
interface Entry {
  file: string;
  arch: string | undefined;
  width: number | undefined;
  /** That is said of this file alone. */
  isOwn: boolean;
  isScript: boolean;
}

type Opened = Pick<CheckpointMember, 'arch' | 'transform' | 'hasPenultimate' | 'hasStages' | 'classes'>;

/**
 * Finds out what each checkpoint holds and names them: by their seeds where these tell them apart, else by architecture
 * and seed, file or folder.
 *
 * @throws ModeEnsembleError E_CONFIG where a file is given twice or the architecture is not known, E_CHECKPOINT where
 *   they do not belong together or are damaged, E_IO
 */
export async function openCheckpoints(
  files: readonly string[],
  settings: OpenCheckpointsSettings = {},
): Promise<CheckpointSet> {
  const { addon, hooks } = settings;
  const entries = entriesOf(files, settings);
  const metadata = await Promise.all(
    entries.map(({ file, isScript }) => (isScript ? undefined : readCheckpoint(file, addon, hooks))),
  );
  // One --arch is for those that do not say theirs; where all do, it would change nothing and has to be right.
  const allSay = entries.every(({ isScript }, index) => isScript || metadata[index] !== undefined);
  const opened: Opened[] = [];
  for (const [index, entry] of entries.entries()) {
    const { file, isScript, isOwn } = entry;
    opened.push(
      await (isScript ? openScript(file, settings) : openOwn(entry, metadata[index], isOwn || allSay, settings)),
    );
  }
  const names = memberNames(
    entries.map(({ file, isScript }, index) => {
      const { id } = (opened[index] as Opened).arch;
      return { file, seed: metadata[index]?.seed, arch: isScript ? SCRIPT : id };
    }),
  );
  const members = await Promise.all(
    entries.map(
      async ({ file }, index): Promise<CheckpointMember> => ({
        name: names[index] as string,
        checkpoint: file,
        weightsHash: await weightsHash(file, hooks?.signal),
        ...(opened[index] as Opened),
      }),
    ),
  );
  return { members: nameScripts(members), classes: commonClasses(entries, metadata) };
}

const SCRIPT_FILE = /^script:(.+)$/;

/** `script:FILE` brings its own file; the other architectures are for the checkpoints, one for all or one for each. */
function entriesOf(files: readonly string[], { arch, width }: OpenCheckpointsSettings): Entry[] {
  const archs = arch === undefined ? [] : [arch].flat();
  const scripts = archs.flatMap((text) => SCRIPT_FILE.exec(text)?.[1] ?? []);
  const others = archs.filter((text) => !SCRIPT_FILE.test(text));
  // Files beside script:FILE are such modules too, unless something else is said of them.
  const known = others.length === 0 && scripts.length > 0 ? [SCRIPT] : others;
  const widths = width === undefined ? [] : [width].flat();
  requireOneOrEach('--arch', others, files);
  requireOneOrEach('--width', widths, files);
  if (widths.length > 0 && others.length === 0) throw new ConfigError('--width: expected --arch with it, found none');
  const pick = <T>(values: readonly T[], index: number) => (values.length > 1 ? values[index] : values[0]);
  const entries = [
    ...scripts.map((file): Entry => ({ file, arch: SCRIPT, width: undefined, isOwn: true, isScript: true })),
    ...files.map((file, index): Entry => {
      const own = pick(known, index);
      // TorchScript's own format is never that of safetensors.
      const isOwn = known.length > 1;
      const isScript = own === SCRIPT && (isOwn || extname(file) !== '.safetensors');
      return { file, arch: own === SCRIPT ? undefined : own, width: pick(widths, index), isOwn, isScript };
    }),
  ];
  if (entries.length === 0) throw new ConfigError('--checkpoint: expected at least one file, found nothing');
  const paths = entries.map(({ file }) => resolve(file));
  const twice = paths.findIndex((path, index) => paths.indexOf(path) !== index);
  if (twice >= 0) throw new ConfigError(`checkpoint ${entries[twice]?.file} is given twice`);
  return entries;
}

function requireOneOrEach(flag: string, values: readonly unknown[], files: readonly string[]): void {
  if (values.length <= 1 || values.length === files.length) return;
  const checkpoints = `${files.length} ${files.length === 1 ? 'checkpoint' : 'checkpoints'}`;
  throw new ConfigError(`${flag}: expected one for all, or one for each of ${checkpoints}, found ${values.length}`);
}

/** @param isFirm an architecture that is given must be the one that the file says */
async function openOwn(
  { file, arch: given, width }: Entry,
  metadata: ModeMetadata | undefined,
  isFirm: boolean,
  { addon, transform, preprocessing, hooks }: OpenCheckpointsSettings,
): Promise<Opened> {
  const said = metadata && resolveArch(metadata.arch, metadata.width, { where: file, architectures: addon });
  const wanted =
    given === undefined || (said && !isFirm)
      ? undefined
      : resolveArch(given, width, { where: '--arch', architectures: addon });
  if (said && wanted && said.id !== wanted.id) {
    throw new ModeEnsembleError('E_CHECKPOINT', `${file}: expected a ${wanted.id}, found a ${said.id}`);
  }
  const fits = metadata ? null : (await inspectCheckpoint(file, { identify: true, addon }, hooks)).fits;
  const arch = wanted ?? said ?? identified(file, fits, addon, hooks);
  const isKnown = fits?.name === arch.name && fits.width === arch.width;
  const own = metadata?.preprocessing ?? arch.transform;
  const base = preprocessing === undefined ? own : preprocessingOf(preprocessing, addon);
  return {
    arch,
    transform: overrideTransform(base, transform, '--crop'),
    hasPenultimate: true,
    hasStages: true,
    classes: metadata?.classes.length ?? (isKnown ? fits.classes : undefined),
  };
}

/** A TorchScript module says nothing about itself: what it gives is tried out. */
async function openScript(file: string, settings: OpenCheckpointsSettings): Promise<Opened> {
  const { addon = getAddon(), hooks } = settings;
  const transform = scriptTransform(settings);
  const options = { arch: archOptions(scriptArch(SCRIPT, transform), 0), checkpoint: file, size: transform.crop };
  const { penultimate, stages, classes } = await startJob((sink) => addon.probe(options, sink), hooks ?? {}).done;
  // The width keeps apart what has no feature in common, until the modules have names.
  const arch = scriptArch(`${SCRIPT}-${penultimate}`, transform);
  return { arch, transform, hasPenultimate: penultimate > 0, hasStages: stages > 0, classes };
}

/** Modules whose features have one width count as one architecture, called by the first of them. */
function nameScripts(members: readonly CheckpointMember[]): CheckpointMember[] {
  const first = new Map<string, string>();
  return members.map((member) => {
    const { name, arch } = member;
    if (arch.name !== SCRIPT) return member;
    const id = first.get(arch.id) ?? `${SCRIPT}-${name}`;
    first.set(arch.id, id);
    return { ...member, arch: { ...arch, id } };
  });
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

/** The architecture whose tensors a file holds that does not name one. */
function identified(
  file: string,
  fits: Inspection['fits'],
  addon: Addon | undefined,
  hooks: JobHooks | undefined,
): ModeArch {
  if (!fits) {
    const sentence = 'does not say its architecture, and its weights fit none that is listed';
    throw new ConfigError(`${file}: ${sentence}; name it with --arch (and --width)`);
  }
  const arch = resolveArch(fits.name, fits.width, { architectures: addon });
  hooks?.onLog?.({ type: 'log', level: 'info', message: `${file}: its weights are those of a ${arch.id}` });
  return arch;
}

/** The names of the classes, on which all checkpoints that say them agree. */
function commonClasses(
  entries: readonly Entry[],
  metadata: readonly (ModeMetadata | undefined)[],
): readonly string[] | undefined {
  const texts = metadata.map((one) => one && canonicalJson(one.classes));
  const first = texts.findIndex((text) => text !== undefined);
  const other = texts.findIndex((text) => text !== undefined && text !== texts[first]);
  if (other >= 0) {
    const sentence = `its classes differ from those of ${entries[first]?.file}`;
    throw new ModeEnsembleError('E_CHECKPOINT', `${entries[other]?.file}: ${sentence}`);
  }
  return metadata[first]?.classes;
}
