import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { DataHandle, ReaderName } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { testData } from '../helpers/data.js';
import { open, quiet } from '../helpers/native.js';
import { type Geometry, picture, withGeometry } from '../helpers/pixels.js';

/** Made by make_shared_fixtures.py with Pillow; shared-pixels.bin holds, for each set and transform, its images' hashes. */
interface Fixtures {
  pillow: string;
  transforms: Record<string, Geometry>;
  sets: { reader: string; path: string; split: string; count: number }[];
}

const fixtures: Fixtures = JSON.parse(readFileSync('test/fixtures/shared-pixels.json', 'utf8'));
const bytes = readFileSync('test/fixtures/shared-pixels.bin');
const names = Object.keys(fixtures.transforms);
/** Files that a failure names. */
const NAMED = 5;

/** The hash of image `i` of a set that begins at `offset`, in hashes. */
const recorded = (offset: number, i: number): number => bytes.readUInt32LE(4 * (offset + i));

/** The set, or why it cannot be read. */
async function openSet(reader: string, path: string, split: string): Promise<DataHandle | string> {
  try {
    return (await open({ reader: reader as ReaderName, path, split })).handle;
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    if (code === 'E_CONFIG' && message.startsWith('unknown reader')) return message;
    throw error;
  }
}

describe(`every image of the test data, decoded, resized and cropped as Pillow ${fixtures.pillow}`, () => {
  const root = testData() ?? '';
  const skip = root === '' && 'the test data is not beside the project';

  it('hashes of 75,910 images in three transforms are recorded', () => {
    const count = fixtures.sets.reduce((sum, set) => sum + set.count, 0);
    assert.equal(count, 75_910);
    assert.equal(names.length, 3);
    assert.equal(bytes.length, 4 * names.length * count);
    assert.ok(root === '' || fixtures.sets.every(({ path }) => existsSync(join(root, path))));
  });

  async function hashesOf(data: DataHandle, geometry: Geometry): Promise<Uint32Array> {
    const { hashes } = await getAddon().hashPixels({ data, transform: withGeometry(geometry), workers: 2 }, quiet).done;
    return hashes;
  }

  let offset = 0;
  for (const { reader, path, split, count } of fixtures.sets) {
    const begin = offset;
    offset += names.length * count;
    it(`${path} ${split}`.trimEnd(), { skip }, async (test) => {
      const data = await openSet(reader, join(root, path), split);
      if (typeof data === 'string') return test.skip(data);
      const different: string[] = [];
      for (const [t, name] of names.entries()) {
        const geometry = fixtures.transforms[name] as Geometry;
        const hashes = await hashesOf(data, geometry);
        assert.equal(hashes.length, count);
        const wrong = [...hashes.keys()].filter((i) => hashes[i] !== recorded(begin + t * count, i));
        if (wrong.length === 0) continue;
        const files = wrong.slice(0, NAMED).map((i) => picture(data, i, geometry).name);
        different.push(`${name}: ${wrong.length} of ${count} images, the first ${files.join(', ')}`);
      }
      getAddon().disposeData(data);
      assert.deepEqual(different, []);
    });
  }
});
