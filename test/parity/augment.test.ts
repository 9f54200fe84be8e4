import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AugmentOptions, DataHandle, LoadPassOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { AUGMENT_OPS, cropped, drawnOps, normalised, RandomStream, toBfloat16, withOps } from '../helpers/augment.js';
import { writeCifar } from '../helpers/cifar.js';
import { AUGMENT, CIFAR_TRANSFORM, open, quiet } from '../helpers/native.js';
import { pixelsHash } from '../helpers/pixels.js';

type Color = [number, number, number];
type Filter = 'bilinear' | 'bicubic';

/** Made by make_augment_fixtures.py with Pillow. */
interface Fixtures {
  pillow: string;
  outside: Color;
  pictures: [name: string, side: number][];
  cases: [op: string, parameter: number, filter: Filter, ...hashes: string[]][];
}

const fixtures: Fixtures = JSON.parse(readFileSync('test/fixtures/augment.json', 'utf8'));

/** As the script has it. */
const FORMULAS: Record<string, (x: number, y: number, c: number) => number> = {
  steps: (x, y, c) => (x * 8 + y * 5 + c * 60) % 256,
  narrow: (x, y, c) => 60 + ((x * x + 3 * y * y + 17 * c) % 91),
  flat: (_x, _y, c) => 90 + 40 * c,
  two: (x, y, c) => ((x + y) % 5 === 0 ? 200 - 30 * c : 20 + c),
  rings: (x, y, c) => Math.floor((x * x + y * y + x * y * c) / 23) % 256,
};

function picture(name: string, side: number): Uint8Array {
  const formula = FORMULAS[name];
  let state = 7;
  return Uint8Array.from({ length: 3 * side * side }, (_, i) => {
    const at = Math.floor(i / 3);
    if (formula) return formula(at % side, Math.floor(at / side), i % 3);
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

describe(`ops give the bytes of Pillow ${fixtures.pillow}`, () => {
  const pictures = fixtures.pictures.map(([name, size]) => ({ name, size, pixels: picture(name, size) }));

  it('all of them are compared', () => {
    assert.deepEqual([...new Set(fixtures.cases.map(([op]) => op))].sort(), [...AUGMENT_OPS].sort());
  });

  for (const name of AUGMENT_OPS) {
    it(name, () => {
      const different: string[] = [];
      for (const [op, parameter, filter, ...hashes] of fixtures.cases) {
        if (op !== name) continue;
        for (const [i, { name: of, size, pixels }] of pictures.entries()) {
          const before = pixels.slice();
          const out = getAddon().augmentPixels({ pixels, size, op, parameter, filter, outside: fixtures.outside });
          if (pixelsHash(out) !== hashes[i]) different.push(`${of} ${size} at ${parameter}, ${filter}`);
          assert.deepEqual(pixels, before, 'what goes in is left alone');
        }
      }
      assert.deepEqual(different, []);
    });
  }

  it('an op or a square that is none is refused', () => {
    const right = { pixels: picture('flat', 4), size: 4, op: 'Invert', parameter: 0, filter: 'bilinear' } as const;
    const refused = (change: object, message: RegExp) => {
      const call = () => getAddon().augmentPixels({ ...right, outside: fixtures.outside, ...change });
      assert.throws(call, { code: 'E_CONFIG', message });
    };
    refused({ op: 'Blur' }, /op: expected one of AutoContrast, .*, found Blur/);
    refused({ size: 5 }, /pixels: expected size \* size \* 3 numbers, found 48/);
    refused({ pixels: new Float32Array(48) }, /pixels: expected a Uint8Array/);
  });
});

describe('in the stream of a training', () => {
  const COUNT = 50;
  const BATCH = 16;
  const SEED = 5;
  const { mean, std } = CIFAR_TRANSFORM;
  const OUTSIDE = mean.map((value) => Math.round(255 * value)) as Color;
  const BOTH: AugmentOptions = { ...AUGMENT, randAugment: 9, erasing: 0.5 };
  let folder = '';
  let data: DataHandle;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-augment-'));
    data = (await open({ path: writeCifar(join(folder, 'cifar'), COUNT) })).handle;
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  async function load(augment: AugmentOptions | null, change: Partial<LoadPassOptions> = {}): Promise<string> {
    const usual = { transform: CIFAR_TRANSFORM, augment, decode: 'exact', type: 'float32', shuffle: false } as const;
    const order = { batchSize: BATCH, workers: 2, seed: SEED, epoch: 0, rank: 0, ranks: 1, evenShards: false };
    const rest = { keepDecoded: 0, passes: 1, hash: true };
    return (await getAddon().loadPass({ data, ...usual, ...order, ...rest, ...change }, quiet).done).sha256;
  }

  /** What `load` should give, put together from single steps. */
  function expected(augment: AugmentOptions, type: LoadPassOptions['type'] = 'float32', epoch = 0): string {
    const sum = createHash('sha256');
    const ops = drawnOps({ ...augment, randAugment: augment.randAugment || 9, seed: SEED, epoch, count: COUNT });
    for (let begin = 0; begin < COUNT; begin += BATCH) {
      const rows = Array.from({ length: Math.min(BATCH, COUNT - begin) }, (_, i) => begin + i);
      const images = rows.map((index) => getAddon().readImage(data, index, CIFAR_TRANSFORM));
      sum.update(new BigInt64Array(images.map(({ label }) => BigInt(label))));
      for (const [i, { pixels }] of images.entries()) {
        const index = begin + i;
        const stream = new RandomStream(SEED, 'augment', epoch, index);
        let square = cropped(pixels, 32, augment.cropPadding, stream);
        if (augment.randAugment > 0) square = withOps(square, 32, ops[index] ?? [], OUTSIDE);
        const values = normalised(square, mean, std);
        const { erasing } = augment;
        const erased = getAddon().erasePixels({ pixels: values, size: 32, erasing, seed: SEED, epoch, index }).pixels;
        sum.update(type === 'bfloat16' ? toBfloat16(erased) : erased);
      }
    }
    return sum.digest('hex');
  }

  it('off, the stream is crop, flip and normalising alone', async () => {
    assert.equal(await load(AUGMENT), expected(AUGMENT));
    assert.equal(await load({ ...AUGMENT, randAugmentOps: 7, randAugmentNoise: 3 }), expected(AUGMENT));
    const still: AugmentOptions = { ...AUGMENT, crop: 'none', flip: false };
    assert.equal(await load(still), await load(null));
  });

  it('ops come between flip and normalising, erasing after it', async () => {
    const onlyOps: AugmentOptions = { ...AUGMENT, randAugment: 9 };
    const onlyErasing: AugmentOptions = { ...AUGMENT, erasing: 0.5 };
    for (const augment of [onlyOps, onlyErasing, BOTH, { ...BOTH, randAugmentOps: 5, erasing: 1 }]) {
      assert.equal(await load(augment), expected(augment));
      assert.equal(await load(augment, { epoch: 3 }), expected(augment, 'float32', 3));
    }
    assert.equal(await load(BOTH, { type: 'bfloat16' }), expected(BOTH, 'bfloat16'));
    assert.equal(new Set([AUGMENT, onlyOps, onlyErasing, BOTH].map((augment) => expected(augment))).size, 4);
  });

  it('the number of workers, and what is kept in memory, change nothing', async () => {
    for (const type of ['float32', 'bfloat16', 'uint8'] as const) {
      const sums = new Set<string>();
      for (const workers of [1, 2, 7]) {
        for (const keepDecoded of [0, 2 ** 20]) {
          sums.add(await load(BOTH, { type, workers, keepDecoded, passes: 3, shuffle: true }));
        }
      }
      assert.equal(sums.size, 1, type);
    }
  });

  it('settings that make no sense are refused', async () => {
    for (const [change, message] of [
      [{ randAugment: -1 }, /augment\.randAugment: expected a number of at least 0, found -1/],
      [{ randAugmentOps: 0 }, /augment\.randAugmentOps: expected at least 1, found 0/],
      [{ randAugmentNoise: -0.5 }, /augment\.randAugmentNoise: expected a number of at least 0, found -0\.5/],
      [{ erasing: 1.5 }, /augment\.erasing: expected a number from 0 to 1, found 1\.5/],
    ] as [object, RegExp][]) {
      await assert.rejects(async () => load({ ...AUGMENT, ...change }), { code: 'E_CONFIG', message });
    }
  });
});
