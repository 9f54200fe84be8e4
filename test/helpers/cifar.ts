import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PLANE = 32 * 32;

/**
 * CIFAR-10 records (label, red, green, blue planes) from a formula, the same as pixels() in
 * test/parity/synthetic.py.
 */
export function syntheticRecords(count: number): Uint8Array {
  const records = new Uint8Array(count * (1 + 3 * PLANE));
  let at = 0;
  for (let i = 0; i < count; i++) {
    records[at++] = i % 10;
    for (let c = 0; c < 3; c++) {
      for (let y = 0; y < 32; y++) {
        for (let x = 0; x < 32; x++) {
          records[at++] = (i * 37 + c * 71 + y * (3 + (i % 5)) + x * (5 + (i % 7)) + Math.floor((x * y) / 3)) % 256;
        }
      }
    }
  }
  return records;
}

/** A CIFAR-10 folder in the official binary layout. */
export function writeCifar(folder: string, train: number, test = train): string {
  return writeRecords(folder, syntheticRecords(train), syntheticRecords(test));
}

/** The same of pixels [N, 32, 32, 3], of which image i is of class i % 10; the first ten are the test data. */
export function writeCifarOf(folder: string, pixels: Uint8Array): string {
  const count = pixels.length / (3 * PLANE);
  const records = new Uint8Array(count * (1 + 3 * PLANE));
  for (let i = 0; i < count; i++) {
    const at = i * (1 + 3 * PLANE);
    records[at] = i % 10;
    for (let j = 0; j < 3 * PLANE; j++) {
      records[at + 1 + j] = pixels[i * 3 * PLANE + (j % PLANE) * 3 + Math.floor(j / PLANE)] as number;
    }
  }
  return writeRecords(folder, records, records.subarray(0, 10 * (1 + 3 * PLANE)));
}

function writeRecords(folder: string, train: Uint8Array, test: Uint8Array): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'data_batch_1.bin'), train);
  writeFileSync(join(folder, 'test_batch.bin'), test);
  return folder;
}
