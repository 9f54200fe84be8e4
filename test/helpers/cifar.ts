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
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'data_batch_1.bin'), syntheticRecords(train));
  writeFileSync(join(folder, 'test_batch.bin'), syntheticRecords(test));
  return folder;
}
