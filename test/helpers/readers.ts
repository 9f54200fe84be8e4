/** Small sets written by a test, and what opening them must end in. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import type { DataHandle, OpenDataOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { CIFAR_TRANSFORM, open } from './native.js';

export const root = mkdtempSync(join(tmpdir(), 'mode-ensemble-readers-'));
after(() => rmSync(root, { recursive: true, force: true }));

let folders = 0;
/** A new folder with these files; a name may hold a sub-folder. */
export function folder(files: Record<string, Uint8Array | string>): string {
  const path = join(root, String(folders++));
  mkdirSync(path);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

export type Options = Partial<OpenDataOptions> & { path: string };

/** Opening ends in this one sentence. */
export async function fails(options: Options, message: RegExp, code = 'E_DATA'): Promise<void> {
  await assert.rejects(open(options), (error: Error & { code: string }) => {
    assert.match(error.message, message);
    assert.match(error.message, /\.$/);
    assert.ok(!error.message.includes('\n'), error.message);
    assert.equal(error.code, code, error.message);
    return true;
  });
}

/** Of a square image of this side: its pixels as they are. */
export const image = (handle: DataHandle, index: number, side: number) =>
  getAddon().readImage(handle, index, { ...CIFAR_TRANSFORM, resize: side, crop: side });
