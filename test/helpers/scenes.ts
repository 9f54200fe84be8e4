/** Images and weights of test/fixtures/detectors, as scenes() and scale_weights() in test/parity/synthetic.py: change both together. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { floats, type readTensors } from './safetensors.js';

/** The 32-bit hash `lowbias32` of Chris Wellons, https://nullprogram.com/blog/2018/07/31/. */
function mix(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d) >>> 0;
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b) >>> 0;
  return (h ^ (h >>> 16)) >>> 0;
}

/** Goes on from a hash by one more number. */
const next = (h: number, key: number): number => mix((h + key + 0x9e3779b9) >>> 0);

/** 32 bits that look random, of any number of whole numbers. */
const word = (...keys: number[]): number => keys.reduce(next, 0);

export interface SceneSet {
  count: number;
  salt: number;
  /** Cells a side of the finer pattern. */
  grid: number;
  /** How many classes have a coarse pattern of their own; 0: each image has. Image i is of class i % classes. */
  classes: number;
}

/** Pixels [count, size, size, 3]: a mixture of coarse cells, finer ones and noise. */
export function scenes({ count, salt, grid, classes }: SceneSet, size: number): Uint8Array {
  const pixels = new Uint8Array(count * size * size * 3);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const coarse = (word(salt, i, 0) % 17) + 16;
    const fine = (word(salt, i, 1) % 17) + 16;
    const owner = classes > 0 ? word(0, 0, i % classes) : word(salt, i, 2);
    const cell = word(salt, i, 3);
    const grain = word(salt, i, 4);
    // By channel first, since the keys go on from there.
    const owners = [0, 1, 2].map((c) => next(owner, c));
    const cells = [0, 1, 2].map((c) => next(cell, c));
    const grains = [0, 1, 2].map((c) => next(grain, c));
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        for (let c = 0; c < 3; c++) {
          const place = (hashes: number[], row: number, column: number) =>
            next(next(hashes[c] as number, row), column) % 256;
          const a = place(owners, Math.floor((y * 4) / size), Math.floor((x * 4) / size));
          const b = place(cells, Math.floor((y * grid) / size), Math.floor((x * grid) / size));
          const noise = place(grains, y, x);
          pixels[at++] = Math.floor((coarse * a + fine * b + (64 - coarse - fine) * noise) / 64);
        }
      }
    }
  }
  return pixels;
}

/**
 * Writes weights with those of batch and layer norms (they have one dimension) and that of the last layer multiplied by powers
 * of two, which is exact.
 */
export function writeScaled(
  path: string,
  { file, tensors }: ReturnType<typeof readTensors>,
  { norms, head }: { norms: number; head: number },
): void {
  const weights = [...tensors].filter(([name]) => name.endsWith('.weight'));
  for (const [index, [, tensor]] of weights.entries()) {
    const factor = index === weights.length - 1 ? head : tensor.shape.length === 1 ? norms : 1;
    const values = floats(tensor);
    assert.equal(values.buffer, tensor.bytes.buffer, 'a view, so that the file changes');
    for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) * factor;
  }
  writeFileSync(path, file);
}
