/** What the command bench is made of: operations of networks, the matrix product, made-up features, peaks of memory. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { scoresFromDistances } from '../../lib/bench/detectors.js';
import { writeMadeUpFeatures } from '../../lib/bench/made-up-features.js';
import { processPeak, watchPeak } from '../../lib/bench/peak-memory.js';
import { DETECTORS, resolveParameters } from '../../lib/detectors/index.js';
import { FeatureFile } from '../../lib/features/index.js';
import { archOptions, resolveArch } from '../../lib/modes/arch.js';
import { getAddon } from '../../lib/native/load.js';
import { quiet } from '../helpers/native.js';
import { float32, int64, writeTensors } from '../helpers/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-unit-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const count = (name: string, classes: number, size: number) =>
  getAddon().countOperations({ arch: archOptions(resolveArch(name), classes), size }, quiet).done;

/** A CIFAR ResNet-18 of a width, by hand: its 3×3 and 1×1 convolutions and the last layer. */
function cifarResNet18(width: number, classes: number): number {
  const conv = (side: number, from: number, to: number, kernel: number) => side ** 2 * from * to * kernel ** 2;
  let sum = conv(32, 3, width, 3) + 4 * conv(32, width, width, 3);
  for (const [side, from, to] of [
    [16, 1, 2],
    [8, 2, 4],
    [4, 4, 8],
  ] as const) {
    sum += conv(side, from * width, to * width, 3) + 3 * conv(side, to * width, to * width, 3);
    sum += conv(side, from * width, to * width, 1);
  }
  return sum + 8 * width * classes;
}

describe('operations of a network', () => {
  it('are those of its layers', async () => {
    assert.equal(await count('cifar-resnet18', 10, 32), cifarResNet18(64, 10));
    assert.equal(await count('cifar-resnet18-w8', 100, 32), cifarResNet18(8, 100));
  });

  it('are four times as many for images of twice the side, but for the last layer', async () => {
    const last = 8 * 8 * 10;
    const [small, large] = [await count('cifar-resnet18-w8', 10, 32), await count('cifar-resnet18-w8', 10, 64)];
    assert.equal(large - last, 4 * (small - last));
  });

  // GFLOPS of torchvision's table of weights, which are multiply-adds of an image of 224 pixels.
  for (const [name, published] of [
    ['resnet18', 1.814],
    ['resnet50', 4.089],
    ['densenet121', 2.834],
  ] as const) {
    it(`of ${name} are those that torchvision publishes`, async () => {
      assert.equal(((await count(name, 1000, 224)) / 1e9).toFixed(3), published.toFixed(3));
    });
  }

  it('of a transformer hold attention too', async () => {
    const at = (await count('t2t-vit-14', 1000, 224)) / 1e9;
    // 21.5 M parameters, most of which meet 197 tokens, and the attention and the tokens' own layers on top.
    assert.ok(at > 4.2 && at < 6.5, `${at} GMAC`);
  });

  it('need a network that there is, and an image', async () => {
    const arch = { name: 'no-such-network', width: 64, classes: 10, dropout: 0 };
    await assert.rejects(getAddon().countOperations({ arch, size: 32 }, quiet).done, { code: 'E_CONFIG' });
    const known = archOptions(resolveArch('cifar-resnet18'), 10);
    assert.throws(() => getAddon().countOperations({ arch: known, size: 0 }, quiet), { code: 'E_CONFIG' });
  });
});

describe('a matrix product', () => {
  it('has a speed in each precision of the CPU', async () => {
    for (const precision of ['float32', 'bfloat16'] as const) {
      const speed = await getAddon().gemmPeak({ size: 256, precision, threads: 1, seconds: 0 }, quiet).done;
      assert.ok(speed > 0.1 && speed < 1e5, `${precision}: ${speed} GFLOP/s`);
    }
  });

  it('stops when it is asked to', async () => {
    const job = getAddon().gemmPeak({ size: 256, precision: 'float32', threads: 1, seconds: 3600 }, quiet);
    setTimeout(() => job.abort(), 20);
    await assert.rejects(job.done, { code: 'E_ABORTED' });
  });

  it('needs a size and a precision', async () => {
    const options = { size: 256, precision: 'float32' as const, threads: 1, seconds: 0 };
    assert.throws(() => getAddon().gemmPeak({ ...options, size: 0 }, quiet), { code: 'E_CONFIG' });
    const other = { ...options, precision: 'float8' as 'float32' };
    await assert.rejects(getAddon().gemmPeak(other, quiet).done, { code: 'E_CONFIG' });
  });
});

describe('made-up features', () => {
  const like = join(folder, 'like.safetensors');
  writeTensors(
    like,
    {
      labels: int64([0, 1]),
      predictions: int64([0, 1]),
      logits: float32([2, 3], new Float32Array(6)),
      stage1: float32([2, 4], new Float32Array(8)),
      stage2: float32([2, 8], new Float32Array(16)),
    },
    { key: 'x', penultimate: 'stage2' },
  );

  it('are a feature file as wide as another, of any length', async () => {
    const path = join(folder, 'made-up.safetensors');
    await writeMadeUpFeatures(await FeatureFile.open(like), { path, rows: 30, seed: 1 });
    const file = await FeatureFile.open(path);
    assert.deepEqual([file.count, file.classes, file.metadata.penultimate], [30, 3, 'stage2']);
    assert.deepEqual(
      [file.shape('stage1'), file.shape('stage2')],
      [
        [30, 4],
        [30, 8],
      ],
    );
    assert.deepEqual([...(await file.labels())].slice(0, 4), [0, 1, 2, 0]);
    const values = await file.tensor('stage2');
    assert.ok(values.every((value) => value >= 0 && Number.isFinite(value)));
    assert.ok(new Set(values).size > 50, 'rows differ');
  });

  it('are other rows of the same classes with another seed, and the same bytes with the same', async () => {
    const open = async (name: string, seed: number) => {
      const path = join(folder, `${name}.safetensors`);
      await writeMadeUpFeatures(await FeatureFile.open(like), { path, rows: 900, seed });
      return (await FeatureFile.open(path)).tensor('stage2');
    };
    const [first, again, other] = [await open('a', 1), await open('b', 1), await open('c', 2)];
    assert.deepEqual(first, again);
    assert.notDeepEqual(first, other);
    const mean = (values: Float32Array, column: number) => {
      let sum = 0;
      for (let row = 0; row < 900; row += 3) sum += values[row * 8 + column] as number;
      return sum / 300;
    };
    for (let column = 0; column < 8; column++) {
      assert.ok(Math.abs(mean(first, column) - mean(other, column)) < 0.6, `column ${column} of class 0`);
    }
  });
});

describe('the cost of a score', () => {
  it('is that of distances for Mahalanobis alone', () => {
    const such = DETECTORS.filter((one) => scoresFromDistances(one.needs(resolveParameters(one, {}))));
    assert.deepEqual(
      such.map(({ name }) => name),
      ['mahalanobis'],
    );
  });
});

describe('a peak of memory', () => {
  it('is that of the work, or says that it is not', () => {
    const before = watchPeak();
    const small = before();
    const peak = watchPeak();
    let block: Buffer | undefined = Buffer.alloc(200 << 20, 1);
    assert.equal(block[1 << 20], 1);
    const large = peak();
    block = undefined;
    assert.ok(large.bytes >= 200 << 20);
    assert.ok(large.bytes <= processPeak() + (1 << 20));
    if (large.of === 'work') assert.ok(large.bytes - small.bytes > 100 << 20, `${small.bytes}, then ${large.bytes}`);
  });
});
