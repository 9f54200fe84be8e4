/** Image sets made for a test, in a folder that is removed at its end, and what is read of them. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import type { OpenDataOptions, OpenDataResult } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { CIFAR_TRANSFORM, open } from './native.js';
import { encodePng } from './png.js';

const scratch = mkdtempSync(join(tmpdir(), 'mode-ensemble-readers-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let folders = 0;
export const fresh = (name = 'set'): string => {
  const path = join(scratch, String(folders++), name);
  mkdirSync(path, { recursive: true });
  return path;
};

/** A PNG of one colour; `claim` is what its header says of its size. */
export function png(gray: number, width = 2, height = 2, claim: [number, number] = [width, height]): Buffer {
  const row = new Array<number>(width).fill(gray);
  return encodePng('gray', new Array<number[]>(height).fill(row), claim);
}

/** A header of a JPEG of this size, and not much more. */
export function jpegBomb(width: number, height: number): Buffer {
  const frame = Buffer.from([0xff, 0xc0, 0, 17, 8, 0, 0, 0, 0, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
  frame.writeUInt16BE(height, 5);
  frame.writeUInt16BE(width, 7);
  const photo = readFileSync('test/fixtures/images/rgb-444.jpg');
  const at = photo.indexOf(Buffer.from([0xff, 0xc0]));
  return Buffer.concat([photo.subarray(0, at), frame, photo.subarray(at + 2 + photo.readUInt16BE(at + 2))]);
}

/** Writes files, whose gray is their place in the list, so that pixels tell which one was read. */
export function plant(root: string, files: string[]): string {
  for (const [gray, file] of files.entries()) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), png(gray));
  }
  return root;
}

export const openSet = (reader: OpenDataOptions['reader'], path: string, options: Partial<OpenDataOptions> = {}) =>
  open({ reader, path, split: '', ...options });

export const read = (data: OpenDataResult, index: number) => getAddon().readImage(data.handle, index, CIFAR_TRANSFORM);

/** For each image its class, its name from `root` on, and the gray of its pixels. */
export function contents(
  data: OpenDataResult,
  root: string,
): [className: string | undefined, name: string, gray: number][] {
  return Array.from({ length: data.count }, (_, i) => {
    const { label, name, pixels } = read(data, i);
    assert.ok(name.startsWith(root), name);
    return [data.classes[label], name.slice(root.length + 1), pixels[0] as number];
  });
}

/** The sentence with which opening fails. */
export async function refusal(job: Promise<unknown>, code = 'E_DATA'): Promise<string> {
  const error = await job.then(
    () => assert.fail('was expected to fail and did not'),
    (error: Error & { code: string }) => error,
  );
  assert.equal(error.code, code, error.message);
  assert.match(error.message, /^[^\n]+\.$/);
  return error.message;
}

export const TREE = [
  'loose-b.png',
  'loose-a.png',
  'a/z.png',
  'a/B.png',
  'a/sub/1.png',
  'a/sub-1/2.png',
  'a-b/3.png',
  'Zebra/4.png',
  'é/5.png',
  'a/.hidden.png',
  '.git/6.png',
  'a/._7.png',
];
/** Class, name and gray of TREE's images. Byte order: folders "a" before "a-b" though "a/" comes after "a-", "a/sub" before "a/sub-1". */
export const TREE_ORDER = [
  ['Zebra', 'loose-a.png', 1],
  ['Zebra', 'loose-b.png', 0],
  ['Zebra', 'Zebra/4.png', 7],
  ['a', 'a/B.png', 3],
  ['a', 'a/z.png', 2],
  ['a', 'a/sub/1.png', 4],
  ['a', 'a/sub-1/2.png', 5],
  ['a-b', 'a-b/3.png', 6],
  ['é', 'é/5.png', 8],
];
