import { readdir, readFile, stat, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { hasCode, ModeEnsembleError } from '../config/errors.js';
import { ioError, writeFileAtomic } from '../config/files.js';
import type { SkippedImage } from '../native/contract.js';
import {
  floatInfo,
  openSafetensors,
  readFloat32,
  readInt64,
  readRows,
  type Safetensors,
  tensorInfo,
} from './safetensors.js';
import { finalName, LEFTOVER_MS } from './temporary.js';

const KEY = /^[0-9a-f]{64}$/;

/** One mode's outputs on one data set, in data-set order. Tensors are read when asked for and not kept. */
export class FeatureFile {
  private constructor(
    private readonly file: Safetensors,
    /** Rows N of every tensor. */
    readonly count: number,
    readonly classes: number,
    /**
     * Name of the tensor that is the penultimate feature, for instance `stage5`; '' where the network gives none, or the
     * pass stores logits alone.
     */
    readonly penultimate: string,
  ) {}

  /** @throws ModeEnsembleError E_DATA where the file is damaged or is no feature file; E_IO where it cannot be read */
  static async open(path: string): Promise<FeatureFile> {
    const file = await openSafetensors(path);
    const [count = 0, classes = 0] = tensorInfo(file, 'logits', 'F32', 2).shape;
    const penultimate = file.metadata.penultimate;
    for (const field of ['key', 'penultimate']) {
      if (file.metadata[field] === undefined) {
        throw new ModeEnsembleError('E_DATA', `${path} is no feature file: expected the field __metadata__.${field}.`);
      }
    }
    const tensors = [
      ...(penultimate === '' ? [] : [floatInfo(file, penultimate as string, 2)]),
      tensorInfo(file, 'labels', 'I64', 1),
      ...(file.tensors.has('predictions') ? [tensorInfo(file, 'predictions', 'I64', 1)] : []),
    ];
    for (const { name, shape } of tensors) {
      if (shape[0] !== count) {
        throw new ModeEnsembleError('E_DATA', `${path}: tensor "${name}": expected ${count} rows, found ${shape[0]}.`);
      }
    }
    return new FeatureFile(file, count, classes, penultimate as string);
  }

  get path(): string {
    return this.file.path;
  }

  get metadata(): Readonly<Record<string, string>> {
    return this.file.metadata;
  }

  /** Shape of any tensor in the file; undefined where there is none of that name. */
  shape(name: string): readonly number[] | undefined {
    return this.file.tensors.get(name)?.shape;
  }

  /** Type and shape of each tensor, by name. */
  get tensors(): Record<string, { dtype: string; shape: readonly number[] }> {
    return Object.fromEntries([...this.file.tensors].map(([name, { dtype, shape }]) => [name, { dtype, shape }]));
  }

  logits(): Promise<Float32Array> {
    return this.tensor('logits'); // [N, C]
  }

  /** Any float32 or float16 tensor, row-major, as float32. */
  tensor(name: string): Promise<Float32Array> {
    return readFloat32(this.file, name);
  }

  /** Some rows of it: those from `first` on, `count` of them. */
  rows(name: string, first: number, count: number): Promise<Float32Array> {
    return readRows(this.file, name, first, count);
  }

  /** Names of the stages' tensors that the file has, in order: `stage1`, `stage2`, … */
  get stages(): string[] {
    const names: string[] = [];
    while (this.file.tensors.has(`stage${names.length + 1}`)) names.push(`stage${names.length + 1}`);
    return names;
  }

  labels(): Promise<Int32Array> {
    return readInt64(this.file, 'labels'); // [N]
  }

  predictions(): Promise<Int32Array> {
    return readInt64(this.file, 'predictions'); // [N]
  }
}

/** A folder of feature files, each found by what its content depends on (see featureKey). */
export class FeatureStore {
  constructor(readonly folder: string) {}

  /** Where the file of this key is or belongs. */
  path(key: string): string {
    if (!KEY.test(key)) throw new ModeEnsembleError('E_CONFIG', `"${key}" is no feature key (64 hexadecimal digits).`);
    return join(this.folder, `${key}.safetensors`);
  }

  /**
   * True when a whole file is there whose own metadata names this key. A damaged or foreign file counts as absent: what
   * is extracted anew takes its place.
   *
   * @param onStale told why a file that is there cannot be used
   */
  async has(key: string, onStale: (reason: string) => void = () => {}): Promise<boolean> {
    try {
      const { metadata, path } = await FeatureFile.open(this.path(key));
      if (metadata.key === key) return true;
      onStale(`${path} holds other features: its key is ${metadata.key}.`);
    } catch (error) {
      if (isAbsent(error)) return false;
      if (!hasCode(error, 'E_DATA')) throw error;
      onStale((error as Error).message);
    }
    return false;
  }

  /** Where something else that was made of features is kept: `<kind>-<key>.safetensors`. */
  keptPath(kind: string, key: string): string {
    return join(this.folder, `${kind}-${basename(this.path(key))}`);
  }

  /**
   * Such a file, where it is whole and carries this key in its metadata; a damaged or foreign one counts as absent.
   *
   * @param onStale told why a file that is there cannot be used
   */
  async openKept(kind: string, key: string, onStale: (reason: string) => void): Promise<Safetensors | undefined> {
    const path = this.keptPath(kind, key);
    try {
      const file = await openSafetensors(path);
      if (file.metadata.key === key) return file;
      onStale(`${path} holds something else: its key is ${file.metadata.key}.`);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      if (!hasCode(error, 'E_DATA')) throw error;
      onStale((error as Error).message);
    }
    return undefined;
  }

  /** Keeps which images the file of this key does without, and why. @throws ModeEnsembleError E_IO */
  async writeSkipped(key: string, images: readonly SkippedImage[]): Promise<void> {
    await writeFileAtomic(this.skippedPath(key), `${JSON.stringify(images, null, 2)}\n`);
  }

  /** What writeSkipped kept; nothing where it is not known. */
  async readSkipped(key: string): Promise<SkippedImage[]> {
    try {
      const images: unknown = JSON.parse(await readFile(this.skippedPath(key), 'utf8'));
      return Array.isArray(images) ? images.filter(isSkippedImage) : [];
    } catch {
      // The list is for people; the features are whole without it.
      return [];
    }
  }

  private skippedPath(key: string): string {
    return this.path(key).replace(/safetensors$/, 'skipped.json');
  }

  /** By key (then the file must carry that key) or by path. @throws ModeEnsembleError E_DATA, E_IO */
  async open(keyOrPath: string): Promise<FeatureFile> {
    if (!KEY.test(keyOrPath)) return FeatureFile.open(keyOrPath);
    const file = await FeatureFile.open(this.path(keyOrPath));
    if (file.metadata.key !== keyOrPath) {
      throw new ModeEnsembleError('E_DATA', `${file.path} holds other features: its key is ${file.metadata.key}.`);
    }
    return file;
  }

  /**
   * Removes temporary files (`*.tmp-<pid>…`) that a killed process left more than a day ago.
   *
   * @returns the names of what was removed
   */
  async sweep(now: number = Date.now()): Promise<string[]> {
    const removed: string[] = [];
    for (const name of await this.names()) {
      if (finalName(name) === undefined) continue;
      const path = join(this.folder, name);
      try {
        const info = await stat(path);
        if (!info.isFile() || now - info.mtimeMs <= LEFTOVER_MS) continue;
        await unlink(path);
        removed.push(name);
      } catch (error) {
        // Another process may sweep at the same time.
        if (!isAbsent(ioError(error, path, 'removed'))) throw ioError(error, path, 'removed');
      }
    }
    return removed;
  }

  private async names(): Promise<string[]> {
    try {
      return (await readdir(this.folder)).sort();
    } catch (error) {
      const mapped = ioError(error, this.folder, 'read');
      if (isAbsent(mapped)) return [];
      throw mapped;
    }
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

function isSkippedImage(value: SkippedImage | null): value is SkippedImage {
  return typeof value?.name === 'string' && typeof value.reason === 'string';
}
