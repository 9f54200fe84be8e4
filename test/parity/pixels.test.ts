import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import type { TransformOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { testData } from '../helpers/data.js';
import { CIFAR_TRANSFORM, open } from '../helpers/native.js';

/** Made by make_pixel_fixtures.py with Pillow: what each image must decode and resize to. */
interface Entry {
  /** Below test/fixtures/images, or below the test data's root. */
  path: string;
  width: number;
  height: number;
  /** By transform. */
  sha256: Record<string, string>;
}

interface Fixtures {
  transforms: Record<string, Pick<TransformOptions, 'resize' | 'fit' | 'filter' | 'crop'>>;
  drawn: (Omit<Entry, 'path'> & { file: string })[];
  data: Entry[];
}

const fixtures: Fixtures = JSON.parse(readFileSync('test/fixtures/pixels.json', 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-pixels-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A folder that holds links to these files alone, under numbers, since names may repeat. */
async function check(entries: readonly Entry[], root: string, name: string): Promise<number> {
  const links = join(folder, name);
  mkdirSync(links);
  for (const [i, { path: file }] of entries.entries()) {
    symlinkSync(resolve(root, file), join(links, `${String(i).padStart(4, '0')}-${basename(file)}`));
  }
  const data = await open({ reader: 'folder', path: links, split: '' });
  assert.equal(data.count, entries.length);
  for (const [i, { path: file, sha256 }] of entries.entries()) {
    for (const [transform, options] of Object.entries(fixtures.transforms)) {
      const image = getAddon().readImage(data.handle, i, { ...CIFAR_TRANSFORM, ...options });
      assert.ok(image.name.endsWith(basename(file)), `${image.name} for ${file}`);
      const hash = createHash('sha256').update(image.pixels).digest('hex');
      assert.equal(hash, sha256[transform], `${file}, ${transform}`);
    }
  }
  return entries.length;
}

describe('decode, resize and crop, bit for bit as Pillow', () => {
  it('images of every kind that the fixtures script draws', async () => {
    const drawn = fixtures.drawn.map(({ file, ...entry }) => ({ ...entry, path: file }));
    assert.ok((await check(drawn, 'test/fixtures/images', 'drawn')) >= 10);
  });

  const root = testData();
  it('real images', { skip: root ? false : 'the test data is not beside the project' }, async () => {
    const there = fixtures.data.filter(({ path }) => existsSync(join(root as string, path)));
    assert.equal(there.length, fixtures.data.length);
    await check(there, root as string, 'data');
  });
});
