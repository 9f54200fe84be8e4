import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/**
 * The folder with the unpacked real images and checkpoints, or undefined where they are not at hand. They lie beside
 * the project's root in `../shared/data` on development machines only; tests that need them are skipped elsewhere.
 */
export function testData(): string | undefined {
  const script = resolve('../shared/data/unpack.sh');
  if (!existsSync(script)) return undefined;
  const folder = join(tmpdir(), 'mode-ensemble-test-data');
  execFileSync('bash', [script, folder]);
  return folder;
}
