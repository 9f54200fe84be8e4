/** Feature files of no network, of any number of rows: what detectors cost that read stored features alone. */
import { endianness } from 'node:os';
import type { FeatureFile } from '../features/store.js';
import { safetensorsHead, type TensorPlan, writeSafetensors } from '../features/write-safetensors.js';

/** In how many directions the rows of a class differ: as few as in trained networks. */
const DIRECTIONS = 16;

export interface MadeUpFeatures {
  path: string;
  rows: number;
  /** Rows are drawn from it. Files of different seeds have the same classes. */
  seed: number;
}

/**
 * Writes a file of the plain pass with the tensors of another one, and other rows: each class has a centre and rows spread around it
 * in a few directions, rectified.
 *
 * @param like a file of the plain pass, whose widths are taken
 * @throws ModeEnsembleError E_IO
 */
export async function writeMadeUpFeatures(like: FeatureFile, { path, rows, seed }: MadeUpFeatures): Promise<void> {
  const classes = like.classes;
  const integers = () => BigInt64Array.from({ length: rows }, (_, row) => BigInt(row % classes));
  const tensors: (TensorPlan & { data: BigInt64Array | Float32Array })[] = [];
  for (const name of ['labels', 'predictions']) tensors.push({ name, dtype: 'I64', shape: [rows], data: integers() });
  for (const [name, { shape }] of Object.entries(like.tensors)) {
    const width = shape[1];
    if (width === undefined) continue;
    tensors.push({ name, dtype: 'F32', shape: [rows, width], data: draw(rows, width, classes, seed) });
  }
  const head = safetensorsHead(tensors, { key: 'made up', penultimate: like.metadata.penultimate ?? '' });
  await writeSafetensors(path, head, async (append) => {
    for (const { data } of tensors) await append(bytesOf(data));
  });
}

function bytesOf(data: BigInt64Array | Float32Array): Buffer {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (endianness() === 'LE') return bytes;
  return data instanceof Float32Array ? bytes.swap32() : bytes.swap64();
}

function draw(rows: number, width: number, classes: number, seed: number): Float32Array {
  const shared = normal(uniform(width));
  const centres = Float32Array.from({ length: classes * width }, () => shared());
  const directions = Float32Array.from({ length: DIRECTIONS * width }, () => 0.3 * shared());
  const own = normal(uniform(1 + seed));
  const noise = uniform(1001 + seed);
  const values = new Float32Array(rows * width);
  const row = new Float64Array(width);
  for (let i = 0; i < rows; i++) {
    const centre = (i % classes) * width;
    for (let d = 0; d < width; d++) row[d] = (centres[centre + d] as number) + 0.1 * noise();
    for (let k = 0; k < DIRECTIONS; k++) {
      const along = own();
      for (let d = 0; d < width; d++) row[d] = (row[d] as number) + along * (directions[k * width + d] as number);
    }
    for (let d = 0; d < width; d++) values[i * width + d] = Math.max(0, row[d] as number);
  }
  return values;
}

/** xorshift32 (Marsaglia 2003): uniform numbers from −1 to 1. */
export function uniform(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state | 0) / 2 ** 31;
  };
}

/** Close to a normal distribution of variance 1: the sum of three uniform numbers. */
export function normal(draw: () => number): () => number {
  return () => draw() + draw() + draw();
}
