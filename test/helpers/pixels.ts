import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { DataHandle, TransformOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { CIFAR_TRANSFORM, open } from './native.js';

/** What the fixture scripts know of a transform. */
export type Geometry = Pick<TransformOptions, 'resize' | 'fit' | 'filter' | 'crop'>;
export type Box = [left: number, top: number, width: number, height: number];

export const withGeometry = (geometry: Geometry): TransformOptions => ({ ...CIFAR_TRANSFORM, ...geometry });

/** The pixels after the transform, or, with a box, of the box alone, resized to the transform's crop. */
export function picture(handle: DataHandle, index: number, geometry: Geometry, box?: Box) {
  const [left = 0, top = 0, width = 0, height = 0] = box ?? [];
  const region = box ? { left, top, width, height } : null;
  return getAddon().readImage(handle, index, withGeometry(geometry), region);
}

/** The first 8 bytes of the SHA-256, as make_pixel_fixtures.py has it. */
export function pixelsHash(...parts: Uint8Array[]): string {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(part);
  return sum.digest('hex').slice(0, 16);
}

/** A data set of links to these files alone, in their order, as `0000-name`, since names may repeat. */
export async function openFiles(folder: string, files: readonly string[]): Promise<DataHandle> {
  mkdirSync(folder, { recursive: true });
  for (const [i, file] of files.entries()) {
    symlinkSync(resolve(file), join(folder, `${String(i).padStart(4, '0')}-${file.slice(file.lastIndexOf('/') + 1)}`));
  }
  const { handle, count } = await open({ reader: 'folder', path: folder, split: '' });
  if (count !== files.length) throw new Error(`${folder}: expected ${files.length} images, found ${count}`);
  return handle;
}
