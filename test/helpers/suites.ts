import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';

/** What CIFAR-10 is told by: its test and its train part. */
export const CIFAR = ['cifar-10-batches-bin/test_batch.bin', 'cifar-10-batches-bin/data_batch_1.bin'] as const;

/** A folder that is gone when the tests are over, and what makes new ones in it. */
export function suiteFolders() {
  const folder = mkdtempSync(join(tmpdir(), 'suites-'));
  after(() => rmSync(folder, { recursive: true }));
  let made = 0;
  /** A path that is new. */
  const fresh = (name: string) => join(folder, `${name}-${made++}`);
  /** A new folder with these empty files; a name that ends with a slash is a folder. */
  const root = (...files: string[]): string => {
    const path = fresh('root');
    mkdirSync(path);
    for (const file of files) {
      mkdirSync(join(path, file.endsWith('/') ? file : dirname(file)), { recursive: true });
      if (!file.endsWith('/')) writeFileSync(join(path, file), '');
    }
    return path;
  };
  return { root, fresh };
}
