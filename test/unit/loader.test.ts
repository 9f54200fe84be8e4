import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AugmentOptions, DataHandle, LoadPassOptions, LoadPassResult } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { AUGMENT, CIFAR_TRANSFORM, open, quiet } from '../helpers/native.js';

const IMAGES = 'test/fixtures/images';
const RESIZED: AugmentOptions = { ...AUGMENT, crop: 'resized' };
let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-loader-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function load(data: DataHandle, options: Partial<LoadPassOptions> = {}): Promise<LoadPassResult> {
  const usual = { transform: CIFAR_TRANSFORM, augment: null, decode: 'exact', type: 'float32' } as const;
  const order = { batchSize: 16, workers: 2, shuffle: false, seed: 5, epoch: 0, rank: 0, ranks: 1, evenShards: false };
  const rest = { keepDecoded: 0, passes: 1, hash: true };
  return getAddon().loadPass({ data, ...usual, ...order, ...rest, ...options }, quiet).done;
}

/** Images of the fixtures that can be decoded. */
function images(): string {
  const path = join(folder, 'images');
  mkdirSync(path, { recursive: true });
  for (const name of readdirSync(IMAGES))
    if (/\.(jpg|png)$/.test(name)) copyFileSync(join(IMAGES, name), join(path, name));
  return path;
}

describe('the stream', () => {
  const streams: [string, Partial<LoadPassOptions>][] = [
    ['evaluation', {}],
    ['random boxes', { augment: RESIZED, shuffle: true, passes: 2 }],
    ['random boxes, decoded fast', { augment: RESIZED, shuffle: true, decode: 'fast' }],
    ['padded crops, kept in memory', { augment: AUGMENT, shuffle: true, passes: 3, keepDecoded: 2 ** 20 }],
    ['bfloat16', { augment: AUGMENT, shuffle: true, type: 'bfloat16' }],
  ];
  for (const [name, options] of streams) {
    it(`is the same with 1, 2 and 7 workers: ${name}`, async () => {
      const { handle } = await open({ reader: 'folder', path: images(), split: '', skipBadImages: true });
      const sums = [];
      for (const workers of [1, 2, 7]) sums.push((await load(handle, { ...options, workers })).sha256);
      assert.match(sums[0] ?? '', /^[0-9a-f]{64}$/);
      assert.deepEqual(sums, [sums[0], sums[0], sums[0]]);
    });
  }

  it('depends on seed and epoch, and a second pass is the next epoch', async () => {
    const { handle } = await open({ path: writeCifar(join(folder, 'cifar'), 100) });
    const sum = async (options: Partial<LoadPassOptions>) =>
      (await load(handle, { augment: AUGMENT, shuffle: true, ...options })).sha256;
    const sums = [await sum({}), await sum({ seed: 6 }), await sum({ epoch: 1 }), await sum({ passes: 2 })];
    assert.equal(new Set(sums).size, 4);
    assert.equal(await sum({}), sums[0]);
  });

  it('keeps its bits where squares stay in memory', async () => {
    const { handle } = await open({ reader: 'folder', path: images(), split: '', skipBadImages: true });
    const transform = { ...CIFAR_TRANSFORM, resize: 20, crop: 18 };
    const sums = [];
    for (const keepDecoded of [0, 2 ** 20]) {
      sums.push((await load(handle, { transform, augment: AUGMENT, passes: 3, keepDecoded })).sha256);
    }
    assert.equal(sums[0], sums[1]);
  });

  it('is divided among ranks', async () => {
    const { handle, count } = await open({ path: writeCifar(join(folder, 'sharded'), 101) });
    for (const evenShards of [false, true]) {
      const counts = [];
      for (let rank = 0; rank < 4; rank++) {
        counts.push((await load(handle, { rank, ranks: 4, evenShards, shuffle: true })).count);
      }
      assert.deepEqual(counts, evenShards ? [26, 26, 26, 26] : [26, 25, 25, 25]);
    }
    assert.equal(count, 101);
    await assert.rejects(async () => load(handle, { rank: 4, ranks: 4 }), {
      code: 'E_CONFIG',
      message: 'rank: expected less than ranks = 4, found 4.',
    });
  });
});

describe('training images', () => {
  // One image, whose pixels tell where they are: red the column, green the row.
  it('are cropped, padded and flipped as torchvision does', async () => {
    const path = join(folder, 'where');
    mkdirSync(path, { recursive: true });
    const record = Buffer.alloc(3073);
    for (let y = 0; y < 32; y++) {
      for (let x = 0; x < 32; x++) {
        record[1 + 32 * y + x] = 1 + x;
        record[1 + 1024 + 32 * y + x] = 1 + y;
      }
    }
    writeFileSync(join(path, 'data_batch_1.bin'), record);
    const { handle } = await open({ path });
    const { pixels } = getAddon().readImage(handle, 0, CIFAR_TRANSFORM);
    assert.deepEqual([pixels[0], pixels[1], pixels[3 * 31], pixels.at(-2)], [1, 1, 32, 32]);
    const part = { left: 3, top: 5, width: 8, height: 8 };
    const cut = getAddon().readImage(handle, 0, { ...CIFAR_TRANSFORM, resize: 8, crop: 8 }, part).pixels;
    assert.deepEqual([cut[0], cut[1], cut[3 * 7], cut.at(-2)], [4, 6, 11, 13]);
    assert.throws(() => getAddon().readImage(handle, 0, CIFAR_TRANSFORM, { ...part, left: 25 }), {
      code: 'E_CONFIG',
      message: /record 0: expected a box inside of 32 x 32 pixels/,
    });
  });
});

/** The bits of a float32 number, rounded to the nearest bfloat16, halves to even. */
function toBfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0] as number;
  const [low, high] = [bits & 0xffff, bits >>> 16];
  return low > 0x8000 || (low === 0x8000 && (high & 1) === 1) ? high + 1 : high;
}

describe('normalised pixels', () => {
  // A double holds the exact quotient or difference of two float32 numbers well enough that fround() rounds it as a float32
  // operation would (Figueroa 1995: 53 ≥ 2 · 24 + 2 bits).
  it('are the float32 steps of ToTensor and Normalize, batch by batch, and these in bfloat16', async () => {
    const { mean, std } = CIFAR_TRANSFORM;
    const { handle, count } = await open({ path: writeCifar(join(folder, 'normalised'), 37) });
    const floats = createHash('sha256');
    const halves = createHash('sha256');
    for (let first = 0; first < count; first += 16) {
      const images = Array.from({ length: Math.min(16, count - first) }, (_, i) =>
        getAddon().readImage(handle, first + i, CIFAR_TRANSFORM),
      );
      const labels = Buffer.from(BigInt64Array.from(images, ({ label }) => BigInt(label)).buffer);
      const values = images.flatMap(({ pixels }) =>
        Array.from(pixels, (pixel, i) => {
          const shifted = Math.fround(Math.fround(pixel / 255) - Math.fround(mean[i % 3] as number));
          return Math.fround(shifted / Math.fround(std[i % 3] as number));
        }),
      );
      floats.update(labels).update(Buffer.from(Float32Array.from(values).buffer));
      halves.update(labels).update(Buffer.from(Uint16Array.from(values, toBfloat16).buffer));
    }
    assert.equal((await load(handle)).sha256, floats.digest('hex'));
    assert.equal((await load(handle, { type: 'bfloat16' })).sha256, halves.digest('hex'));
  });
});

describe('bad images', () => {
  it('are listed with their reasons, in the order of the stream', async () => {
    const path = join(folder, 'bad');
    mkdirSync(path, { recursive: true });
    for (const name of readdirSync(images())) copyFileSync(join(images(), name), join(path, name));
    writeFileSync(join(path, '0-empty.jpg'), '');
    writeFileSync(join(path, 'zz-text.png'), 'no image');
    const { handle, count } = await open({ reader: 'folder', path, split: '', skipBadImages: true });
    for (const workers of [1, 3]) {
      const result = await load(handle, { workers, batchSize: 5 });
      assert.equal(result.count + result.skippedCount, count);
      const [first, last] = [result.skipped[0], result.skipped.at(-1)];
      assert.match(first?.name ?? '', /0-empty\.jpg$/);
      assert.match(first?.reason ?? '', /0-empty\.jpg: expected a JPEG or PNG image, found an empty file\.$/);
      assert.match(last?.reason ?? '', /zz-text\.png: expected a JPEG or PNG image, found a file of 8 bytes/);
    }
    const strict = await open({ reader: 'folder', path, split: '' });
    await assert.rejects(load(strict.handle), { code: 'E_DATA', message: /0-empty\.jpg: .* an empty file\.$/ });
  });
});

const THREADS = '/proc/self/task';

describe('a pass that is stopped', () => {
  it('leaves no thread behind', async (t) => {
    const threads = () => {
      try {
        return readdirSync(THREADS).length;
      } catch {
        return undefined;
      }
    };
    if (threads() === undefined) return t.skip('threads are counted on Linux only');
    const { handle } = await open({ reader: 'folder', path: images(), split: '', skipBadImages: true });
    await load(handle);
    const settled = async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return threads();
    };
    const alone = await settled();
    for (let i = 0; i < 5; i++) {
      const started = performance.now();
      const usual = {
        transform: { ...CIFAR_TRANSFORM, resize: 512, crop: 512 },
        augment: RESIZED,
        decode: 'exact',
        type: 'float32',
      };
      const order = {
        batchSize: 8,
        workers: 6,
        shuffle: true,
        seed: 1,
        epoch: 0,
        rank: 0,
        ranks: 1,
        evenShards: false,
      };
      const options = { data: handle, ...usual, ...order, keepDecoded: 0, passes: 1e6, hash: false } as LoadPassOptions;
      const job = getAddon().loadPass(options, quiet);
      let most = 0;
      for (let look = 0; look < 50; look++) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        most = Math.max(most, threads() ?? 0);
      }
      assert.ok(most >= (alone ?? 0) + 6, 'the workers are there while it runs');
      job.abort();
      await assert.rejects(job.done, { code: 'E_ABORTED' });
      assert.ok(performance.now() - started < 5000);
    }
    assert.equal(await settled(), alone);
  });
});
