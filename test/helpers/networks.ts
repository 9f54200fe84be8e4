/** What test/parity/make_network_fixtures.py and synthetic.py do, in TypeScript: change both together. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { ArchitectureInfo, ArchOptions, TraceOptions, TraceResult } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { quiet } from './native.js';
import { float32, floats, int64, readTensors, type Tensor, writeTensors } from './safetensors.js';

export interface Summary {
  shape: number[];
  max: number;
  norm: number;
  sample: number[];
}

/** test/fixtures/networks/NAME.json. */
export interface NetworkFixture {
  arch: string;
  width: number;
  classes: number;
  dropout: number;
  /** Side of the images. */
  size: number;
  seed: number;
  torch: string;
  parameters: number;
  tensors: number;
  layout: string;
  first: string[];
  last: string[];
  weights: string;
  loose: Record<string, Summary>;
  outputs: Record<string, Summary>;
  reduced: { width: number; classes: number; layout: string; logits: number[] };
}

export const IMAGES = 2;
const SAMPLES = 48;

export const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** One line a tensor: its name and shape. */
export function layoutOf(tensors: Map<string, Tensor>): string[] {
  return [...tensors].map(([name, { shape }]) => `${name} ${shape.join(',')}`);
}

export function reducedWidth({ width, widthStep }: ArchitectureInfo): number {
  return Math.max(1, Math.floor(Math.floor(width / 8) / widthStep)) * widthStep;
}

/** Safetensors with the images and labels that a trace reads. */
export function writeNetworkInput(path: string, size: number, classes: number): void {
  const pixels = new Float32Array(IMAGES * 3 * size * size);
  let at = 0;
  for (let i = 0; i < IMAGES; i++) {
    for (let c = 0; c < 3; c++) {
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          const value = (i * 37 + c * 71 + y * (3 + (i % 5)) + x * (5 + (i % 7)) + Math.floor((x * y) / 3)) % 256;
          pixels[at++] = (value / 255 - 0.5) * 4;
        }
      }
    }
  }
  const labels = Array.from({ length: IMAGES }, (_, i) => i % classes);
  writeTensors(path, { images: float32([IMAGES, 3, size, size], pixels), labels: int64(labels) });
}

const NORMS: Record<string, (i: number) => number> = {
  running_mean: (i) => ((i * 7 + 3) % 11) / 50 - 0.1,
  running_var: (i) => ((i * 5 + 1) % 13) / 26 + 0.75,
  weight: (i) => ((i * 3 + 2) % 7) / 14 + 0.5,
  bias: (i) => ((i * 11 + 4) % 9) / 40 - 0.1,
};

/** Writes weights with the values of NORMS in every batch and layer norm: their `weight` has one dimension. */
export function writeWithNorms(path: string, { file, tensors }: ReturnType<typeof readTensors>): void {
  for (const [name, tensor] of tensors) {
    const dot = name.lastIndexOf('.');
    const formula = NORMS[name.slice(dot + 1)];
    if (!formula || tensors.get(`${name.slice(0, dot)}.weight`)?.shape.length !== 1) continue;
    const values = floats(tensor);
    assert.equal(values.buffer, tensor.bytes.buffer, 'a view, so that the file changes');
    for (let i = 0; i < values.length; i++) values[i] = formula(i);
  }
  writeFileSync(path, file);
}

export function summarise(tensor: Tensor): Summary {
  const flat = floats(tensor);
  let max = 0;
  let squares = 0;
  for (const value of flat) {
    max = Math.max(max, Math.abs(value));
    squares += value * value;
  }
  const step = Math.floor(flat.length / SAMPLES);
  const places =
    flat.length > SAMPLES
      ? Array.from({ length: SAMPLES }, (_, k) => Math.floor((k * flat.length) / SAMPLES) + ((k * 7919) % step))
      : flat.keys();
  return { shape: tensor.shape, max, norm: Math.sqrt(squares), sample: Array.from(places, (i) => flat[i] as number) };
}

/** max |a − b| / scale, where scale is the tensor's largest magnitude. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>, scale?: number): number {
  assert.equal(a.length, b.length);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < b.length; i++) {
    const distance = Math.abs((a[i] as number) - (b[i] as number));
    // NaN must not pass for 0.
    if (!(distance <= difference)) difference = distance;
    largest = Math.max(largest, Math.abs(b[i] as number));
  }
  return difference / (scale ?? largest);
}

/** The largest relative error of two summaries' figures; those of different shapes are an error. */
export function summaryError(found: Summary, expected: Summary): number {
  assert.deepEqual(found.shape, expected.shape);
  return Math.max(
    relativeError(found.sample, expected.sample, expected.max),
    Math.abs(found.max - expected.max) / expected.max,
    Math.abs(found.norm - expected.norm) / expected.norm,
  );
}

/** The larger of the relative L2 error over the sample and the relative error of the norm. */
export function gradientError(found: Summary, expected: Summary): number {
  assert.deepEqual(found.shape, expected.shape);
  const difference = found.sample.map((value, i) => value - (expected.sample[i] as number));
  const ofSample = Math.hypot(...difference) / Math.hypot(...expected.sample);
  return Math.max(ofSample, Math.abs(found.norm - expected.norm) / expected.norm);
}

export async function initWeights(arch: ArchOptions, seed: number, output: string) {
  await getAddon().initWeights({ arch, seed, output, metadata: {} }, quiet).done;
  return readTensors(output);
}

/** The tensors of a pass over the synthetic images. */
export async function trace(
  arch: ArchOptions,
  from: { checkpoint: string } | { seed: number },
  input: string,
  output: string,
  precision: TraceOptions['precision'] = 'float32',
): Promise<{ result: TraceResult; file: Buffer; tensors: Map<string, Tensor> }> {
  // One thread: passes this small gain little from more, and on a busy machine threads that wait for each other lose all.
  const options = { arch, checkpoint: '', seed: 0, ...from, input, output, precision, threads: 1 };
  const result = await getAddon().trace(options, quiet).done;
  return { result, ...readTensors(output) };
}
