import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { getAddon } from '../../lib/native/load.js';
import { testData } from '../helpers/data.js';
import { type Box, type Geometry, openFiles, picture, pixelsHash } from '../helpers/pixels.js';

/** Made by make_pixel_fixtures.py with Pillow: what each image must decode and resize to. */
interface Entry {
  /** Below test/fixtures, or below the test data's root. */
  path: string;
  width: number;
  height: number;
  /** By transform. */
  sha256: Record<string, string>;
  /** [box transform, left, top, width, height, hash] */
  boxes: [string, number, number, number, number, string][];
  /** Of 8 x 8 boxes all over the image, row after row. */
  sweep?: string;
}

interface Fixtures {
  transforms: Record<string, Geometry> & { cifar: Geometry };
  boxTransforms: Record<string, Geometry>;
  drawn: Entry[];
  /** Files in test/fixtures/bad-images; `pixels` of the transform `cifar`, null where Pillow refuses the file. */
  bad: { file: string; pixels: string | null }[];
  /** Files in test/fixtures/odd-images, whole and cut off after so many bytes. */
  cut: { file: string; whole: string; ends: [bytes: number, pixels: string | null][] }[];
  data: Entry[];
}

const RAW: Geometry = { resize: 8, fit: 'both', filter: 'bilinear', crop: 8 };
/** Region decoding may stop early; it must tell of a damaged file all the same. */
const PART: Geometry = { resize: 1, fit: 'both', filter: 'bilinear', crop: 1 };

/**
 * Files on which libjpeg-turbo's versions differ, and since which it is as Pillow's. Corrected was the smoothing of
 * progressive images whose last scans are missing, where chroma has fewer rows or the image is two MCUs wide; new are
 * lossless images.
 */
const SINCE: Record<string, [major: number, minor: number, patch: number]> = {
  'progressive-first-scan.jpg': [3, 0, 1],
  'lossless.jpg': [3, 0, 0],
};
/** Damaged PNGs that Pillow takes and libpng does not, and the one the other way round. */
const REFUSED_BY_LIBPNG = ['data-checksum.png', 'no-palette.png', 'too-few-rows.png', 'unknown-critical-chunk.png'];
const REFUSED_BY_PILLOW = ['text-checksum.png'];
/** The length of a PNG's last chunk. Pillow does without, but also without the checksum before it. */
const PNG_END = 12;

const fixtures: Fixtures = JSON.parse(readFileSync('test/fixtures/pixels.json', 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-pixels-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function isLibjpegOlder(file: string): boolean {
  const [, found = ''] = /([\d.]+)$/.exec(getAddon().info().libjpeg) ?? [];
  const version = found.split('.').map(Number);
  const since = SINCE[basename(file)] ?? [];
  const at = since.findIndex((part, i) => (version[i] ?? 0) !== part);
  return at >= 0 && (version[at] ?? 0) < (since[at] ?? 0);
}

/** Calls `compare` for each image, and tells of all in which it finds a difference, not of the first alone. */
async function check(
  entries: readonly Entry[],
  root: string,
  compare: (read: (geometry: Geometry, box?: Box) => Uint8Array, entry: Entry) => Iterable<string>,
): Promise<void> {
  const handle = await openFiles(
    mkdtempSync(join(folder, 'set-')),
    entries.map(({ path }) => join(root, path)),
  );
  const different: string[] = [];
  for (const [i, entry] of entries.entries()) {
    const read = (geometry: Geometry, box?: Box) => {
      const image = picture(handle, i, geometry, box);
      assert.ok(image.name.endsWith(basename(entry.path)), `${image.name} for ${entry.path}`);
      assert.equal(`${image.width} x ${image.height}`, `${entry.width} x ${entry.height}`);
      return image.pixels;
    };
    try {
      for (const what of compare(read, entry)) different.push(`${entry.path}: ${what}`);
    } catch (error) {
      different.push(`${entry.path}: ${(error as Error).message}`);
    }
  }
  assert.deepEqual(different, []);
}

function* transforms(read: (geometry: Geometry) => Uint8Array, { sha256 }: Entry): Iterable<string> {
  for (const [name, geometry] of Object.entries(fixtures.transforms)) {
    if (pixelsHash(read(geometry)) !== sha256[name]) yield name;
  }
}

function* boxes(read: (geometry: Geometry, box?: Box) => Uint8Array, entry: Entry): Iterable<string> {
  for (const [kind, left, top, width, height, hash] of entry.boxes) {
    const pixels = read(fixtures.boxTransforms[kind] as Geometry, [left, top, width, height]);
    if (pixelsHash(pixels) !== hash) yield `${width} x ${height} at (${left}, ${top}), ${kind}`;
  }
}

function* sweeps(
  read: (geometry: Geometry, box?: Box) => Uint8Array,
  { width, height, sweep }: Entry,
): Iterable<string> {
  const right = Math.max(1, Math.floor(width / 50));
  const down = Math.max(1, Math.floor(height / 40));
  const parts: Uint8Array[] = [];
  for (let y = 0; y <= height - 8; y += down) {
    for (let x = 0; x <= width - 8; x += right) parts.push(read(RAW, [x, y, 8, 8]));
  }
  if (pixelsHash(...parts) !== sweep) yield 'some 8 x 8 box';
}

describe('decode, resize and crop, bit for bit as Pillow', () => {
  const { data } = fixtures;
  const drawn = fixtures.drawn.filter(({ path }) => !isLibjpegOlder(path));
  const root = testData() ?? '';
  const skip = root === '' && 'the test data is not beside the project';

  it('images of every kind that the fixtures script draws', () => check(drawn, 'test/fixtures', transforms));
  it('boxes of them', () => check(drawn, 'test/fixtures', boxes));
  it('boxes at every position within a block, and across its borders', async () => {
    const swept = drawn.filter(({ sweep }) => sweep !== undefined);
    assert.ok(swept.length >= 30);
    await check(swept, 'test/fixtures', sweeps);
  });
  it('real images', { skip }, async () => {
    assert.ok(data.every(({ path }) => existsSync(join(root, path))));
    await check(data, root, transforms);
  });
  it('boxes of real images', { skip }, () => check(data, root, boxes));
});

describe('what Pillow refuses is refused, naming the file', () => {
  /** The hash of the pixels, or null and the message's beginning where the file is refused. */
  async function verdicts(files: string[], geometry: Geometry, box?: Box): Promise<(string | null)[]> {
    const handle = await openFiles(mkdtempSync(join(folder, 'bad-')), files);
    return files.map((file, i) => {
      try {
        return pixelsHash(picture(handle, i, geometry, box).pixels);
      } catch (error) {
        const { code, message } = error as Error & { code?: string };
        assert.equal(code, 'E_DATA', message);
        assert.ok(message.includes(`-${basename(file)}: expected `), `${message} does not name ${file}`);
        return null;
      }
    });
  }

  const RGB_8_BIT = fixtures.cut.find(({ file }) => file === 'rgb-8-bit.png')?.whole;
  it('bad files', async () => {
    const files = fixtures.bad.map(({ file }) => join('test/fixtures/bad-images', file));
    const expected = fixtures.bad.map(({ file, pixels }) => {
      if (REFUSED_BY_PILLOW.includes(file)) return [file, RGB_8_BIT];
      return [file, REFUSED_BY_LIBPNG.includes(file) || isLibjpegOlder(file) ? null : pixels];
    });
    const found = await verdicts(files, fixtures.transforms.cifar);
    assert.deepEqual(
      files.map((file, i) => [basename(file), found[i]]),
      expected,
    );
    const parts = await verdicts(files, PART, [0, 0, 1, 1]);
    assert.deepEqual(
      files.map((file, i) => [basename(file), parts[i] === null]),
      expected.map(([file, pixels]) => [file, pixels === null]),
    );
  });

  for (const { file, whole, ends } of fixtures.cut) {
    it(`${file}, cut off at ${ends.length} places`, async () => {
      const bytes = readFileSync(join('test/fixtures/odd-images', file));
      const at = mkdtempSync(join(folder, 'cut-'));
      const needed = file.endsWith('.png') ? bytes.length - PNG_END : 0;
      const cuts = [...ends, [bytes.length, whole] as const].map(
        ([end, pixels]) => [end, end < needed ? null : pixels] as const,
      );
      const files = cuts.map(([end]) => {
        const path = join(at, `${end}-${file}`);
        writeFileSync(path, bytes.subarray(0, end));
        return path;
      });
      const found = await verdicts(files, fixtures.transforms.cifar);
      assert.deepEqual(
        cuts.map(([end], i) => [end, found[i]]),
        cuts,
      );
      for (const box of [
        [0, 0, 1, 1],
        [0, 0, 13, 1],
        [5, 9, 3, 2],
      ] as Box[]) {
        const parts = await verdicts(files, PART, box);
        assert.deepEqual(
          cuts.map(([end], i) => [end, parts[i] === null]),
          cuts.map(([end, pixels]) => [end, pixels === null]),
          `the box ${box}`,
        );
      }
    });
  }
});
