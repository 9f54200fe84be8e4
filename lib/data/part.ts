/**
 * A run of images of a set as a set of its own, so that several processes can share the whole. Images that are files are read from
 * where they are; others are prepared and written down as pixels, to the same bits.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import type { Addon, DataHandle, TransformOptions } from '../native/contract.js';
import { getAddon } from '../native/load.js';
import { type DataSet, openData } from './open.js';

export interface SetPart extends Disposable {
  handle: DataHandle;
  /** What the part's images are to be prepared with, so that they come out as the whole set's. */
  transform: TransformOptions;
}

export interface PartSettings {
  /** The images `from` to `to` − 1. */
  from: number;
  to: number;
  transform: TransformOptions;
  /** Empty, of this part alone. */
  folder: string;
  threads: number;
  signal?: AbortSignal | undefined;
  addon?: Addon | undefined;
}

/** Readers whose images are files of their own. */
const OF_FILES = ['folder', 'imagenet', 'list'];
/** A JPEG is read no further than this asks for. */
const CORNER = { left: 0, top: 0, width: 1, height: 1 };
/** So many images are read before others get a turn. */
const A_TURN = 64;

/** @throws ModeEnsembleError E_DATA where an image cannot be read, E_CONFIG, E_IO, E_ABORTED */
export async function openPart(set: DataSet, settings: PartSettings): Promise<SetPart> {
  if (set.skipBadImages) {
    // A bad image has no place in the whole before all parts were read.
    throw new ConfigError(
      `${set.name}: expected a set whose images can all be read, as parts of it are, found skipBadImages`,
    );
  }
  return OF_FILES.includes(set.reader) ? listPart(set, settings) : pixelPart(set, settings);
}

async function listPart(set: DataSet, settings: PartSettings): Promise<SetPart> {
  const { from, to, transform, folder, threads, addon = getAddon() } = settings;
  const lines = ['path,label'];
  const tiny = { ...transform, resize: 1, crop: 1 };
  for (let index = from; index < to; index++) {
    await turn(index - from, settings.signal);
    const { name, label } = addon.readImage(set.handle, index, tiny, CORNER, 'fast');
    if (/[\r\n]/.test(name)) throw new ConfigError(`${set.name}: expected names without line breaks, found "${name}"`);
    lines.push(`"${resolve(name).replaceAll('"', '""')}",${label}`);
  }
  const file = join(folder, 'part.csv');
  await writeFile(file, `${lines.join('\n')}\n`);
  const part = await openData(`Part=list:${resolve(file)}`, { threads, addon, where: set.name });
  return opened(part, set, to - from, transform);
}

async function pixelPart(set: DataSet, settings: PartSettings): Promise<SetPart> {
  const { from, to, transform, folder, threads, addon = getAddon() } = settings;
  const file = join(folder, 'part.npy');
  const { crop } = transform;
  const stream = createWriteStream(file);
  const ended = finished(stream);
  ended.catch(() => {});
  const labels = new BigInt64Array(to - from);
  stream.write(npyHead('|u1', [to - from, crop, crop, 3]));
  for (let index = from; index < to; index++) {
    await turn(index - from, settings.signal);
    const { pixels, label } = addon.readImage(set.handle, index, transform);
    labels[index - from] = BigInt(label);
    if (!stream.write(pixels)) await once(stream, 'drain');
  }
  stream.end();
  await ended;
  const bytes = Buffer.concat([npyHead('<i8', [to - from]), Buffer.from(labels.buffer)]);
  await writeFile(join(folder, 'part-labels.npy'), bytes);
  const part = await openData(`Part=npy:${resolve(file)}`, { threads, addon, where: set.name });
  // They have their size already.
  return opened(part, set, to - from, { ...transform, resize: crop, fit: 'both' });
}

function opened(part: DataSet, set: DataSet, count: number, transform: TransformOptions): SetPart {
  if (part.count !== count) {
    part.dispose();
    throw new ModeEnsembleError('E_DATA', `${set.name}: expected a part of ${count} images, found ${part.count}.`);
  }
  return { handle: part.handle, transform, [Symbol.dispose]: () => part.dispose() };
}

async function turn(done: number, signal: AbortSignal | undefined): Promise<void> {
  if (done % A_TURN !== 0) return;
  await new Promise((next) => setImmediate(next));
  if (signal?.aborted) throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.');
}

/** Of NumPy's format 1.0 (numpy.lib.format). */
function npyHead(type: string, shape: readonly number[]): Buffer {
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': (${sides}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const head = Buffer.alloc(length, ' ');
  head.write('\x93NUMPY\x01\x00', 'latin1');
  head.writeUInt16LE(length - 10, 8);
  head.write(text, 10, 'latin1');
  head.write('\n', length - 1, 'latin1');
  return head;
}
