/** Preprocessing that is asked for otherwise: what may be asked, and that the loader does it. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { overrideTransform } from '../../lib/modes/transform.js';
import type { OpenDataResult, TransformOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { extractOne } from '../helpers/features.js';
import { CIFAR_TRANSFORM, open } from '../helpers/native.js';
import { initWeights } from '../helpers/networks.js';
import { encodePng } from '../helpers/png.js';

const WIDTH = 8;
const arch = { name: 'cifar-resnet18', width: WIDTH, classes: 10, dropout: 0 };
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-transform-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('overrideTransform', () => {
  it('changes what is given alone', () => {
    const base = { ...CIFAR_TRANSFORM };
    assert.deepEqual(overrideTransform(base, { crop: 24, filter: 'bicubic', std: undefined }), {
      ...CIFAR_TRANSFORM,
      crop: 24,
      filter: 'bicubic',
    });
    for (const none of [undefined, {}, { mean: undefined }]) assert.deepEqual(overrideTransform(base, none), base);
    assert.deepEqual(base, CIFAR_TRANSFORM);
  });

  it('refuses a crop that is larger than what it is cut from', () => {
    assert.throws(() => overrideTransform(CIFAR_TRANSFORM, { crop: 33 }), {
      code: 'E_CONFIG',
      message: 'transform: expected a crop of at most the resized 32 pixels, found 33',
    });
    assert.throws(() => overrideTransform(CIFAR_TRANSFORM, { resize: 16 }, '--crop'), {
      message: '--crop: expected a crop of at most the resized 16 pixels, found 32',
    });
    assert.equal(overrideTransform(CIFAR_TRANSFORM, { crop: 64, resize: 64 }).crop, 64);
  });
});

describe('the loader', () => {
  const weights = join(folder, 'weights.safetensors');
  let made: Promise<OpenDataResult> | undefined;
  const prepare = async () => {
    await initWeights(arch, 4, weights);
    return open({ path: writeCifar(join(folder, 'cifar'), 6) });
  };
  let outputs = 0;

  async function logits(overrides: Partial<TransformOptions>): Promise<Float32Array> {
    made ??= prepare();
    const { handle } = await made;
    const output = join(folder, `features-${outputs++}.safetensors`);
    const transform = overrideTransform(CIFAR_TRANSFORM, overrides);
    return (await extractOne(handle, weights, output, WIDTH, { transform, threads: 1 })).logits();
  }

  it('gives equal bytes for what is the default already', async () => {
    const { mean, std, crop } = CIFAR_TRANSFORM;
    assert.deepEqual(await logits({ mean: [...mean], std: [...std], crop }), await logits({}));
  });

  const changes: [string, Partial<TransformOptions>][] = [
    ['mean', { mean: [0.4914, 0.4822, 0.4466] }],
    ['std', { std: [0.2471, 0.2435, 0.2616] }],
    ['crop', { crop: 28 }],
    ['resize', { resize: 40 }],
    ['filter, where images are resized', { resize: 40, filter: 'bicubic' }],
  ];
  const seen: Float32Array[] = [];
  for (const [what, overrides] of changes) {
    it(`applies another ${what}`, async () => {
      const found = await logits(overrides);
      for (const other of [await logits({}), ...seen]) assert.notDeepEqual(found, other);
      seen.push(found);
    });
  }

  it('normalises each channel on its own', async () => {
    const base = await logits({});
    for (let channel = 0; channel < 3; channel++) {
      const mean = CIFAR_TRANSFORM.mean.with(channel, 0.9) as [number, number, number];
      assert.notDeepEqual(await logits({ mean }), base, `channel ${channel}`);
    }
  });
});

/** A PNG whose red is the column and whose green is the row. */
function drawPng(file: string, width: number, height: number): void {
  const rows = Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => [x, y, 7]).flat());
  writeFileSync(file, encodePng('rgb', rows, [width, height]));
}

describe('images that are not square', () => {
  // Half pixels are rounded to the even number, as in Python.
  const rows: [width: number, height: number, crop: number, left: number, top: number][] = [
    [20, 50, 20, 0, 15],
    [50, 20, 20, 15, 0],
    [35, 26, 26, 4, 0],
    [37, 26, 26, 6, 0],
    [30, 41, 12, 9, 14],
  ];
  for (const [width, height, crop, left, top] of rows) {
    it(`of ${width} × ${height} lose what is not in the middle ${crop}`, async () => {
      const path = join(folder, `${width}x${height}`);
      mkdirSync(path);
      drawPng(join(path, 'a.png'), width, height);
      const data = await open({ reader: 'folder', path, split: '' });
      const transform: TransformOptions = { ...CIFAR_TRANSFORM, resize: Math.min(width, height), fit: 'short', crop };
      const { pixels } = getAddon().readImage(data.handle, 0, transform);
      const expected = Array.from({ length: crop * crop }, (_, i) => [
        left + (i % crop),
        top + Math.floor(i / crop),
        7,
      ]);
      assert.deepEqual([...pixels], expected.flat());
    });
  }

  it('are what fit makes a difference to, in a pass through a network too', async () => {
    const path = join(folder, 'drawn');
    mkdirSync(path);
    const square = ['rgb.png', 'rgb-444.jpg'];
    const names = [...square, 'interlaced.png', 'jpeg-named.png', 'rgb-odd.jpg'].sort();
    for (const name of names) cpSync(join('test/fixtures/images', name), join(path, name));
    const { handle } = await open({ reader: 'folder', path, split: '' });
    await initWeights(arch, 4, join(folder, 'own.safetensors'));
    const pass = async (fit: TransformOptions['fit']) => {
      const transform = overrideTransform(CIFAR_TRANSFORM, { fit });
      const output = join(folder, `${fit}.safetensors`);
      return (
        await extractOne(handle, join(folder, 'own.safetensors'), output, WIDTH, { transform, threads: 1 })
      ).logits();
    };
    const [both, short] = [await pass('both'), await pass('short')];
    for (const [row, name] of names.entries()) {
      const of = (logits: Float32Array) => logits.subarray(row * arch.classes, (row + 1) * arch.classes);
      const isSame = Buffer.compare(Buffer.from(of(both).slice().buffer), Buffer.from(of(short).slice().buffer)) === 0;
      assert.equal(isSame, square.includes(name), name);
    }
  });
});
