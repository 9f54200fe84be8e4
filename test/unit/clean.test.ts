import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { percentileInterval, Resampler } from '../../lib/metrics/index.js';
import { measureAccuracy } from '../../lib/run/clean.js';
import { type Tensor, writeTensors } from '../helpers/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'clean-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const LABELS = [0, 1, 2, 0, 1, 2, 0, 1];
const CLASSES = 6;

/** A feature file of a mode whose logits are `sure` for the label in the images given, and for class 5 in all others. */
function mode(name: string, right: readonly number[], sure: number) {
  const logits = LABELS.flatMap((label, i) =>
    Array.from({ length: CLASSES }, (_, c) => (c === (right.includes(i) ? label : 5) ? sure : -c)),
  );
  const test = join(folder, `${name}.safetensors`);
  const bytes = (values: ArrayBufferView) => Buffer.from(values.buffer);
  const tensors: Record<string, Tensor> = {
    logits: { dtype: 'F32', shape: [LABELS.length, CLASSES], bytes: bytes(Float32Array.from(logits)) },
    labels: { dtype: 'I64', shape: [LABELS.length], bytes: bytes(BigInt64Array.from(LABELS, BigInt)) },
    predictions: { dtype: 'I64', shape: [LABELS.length], bytes: bytes(new BigInt64Array(LABELS.length)) },
    stage5: { dtype: 'F32', shape: [LABELS.length, 1], bytes: bytes(new Float32Array(LABELS.length)) },
  };
  writeTensors(test, tensors, { key: 'ab'.repeat(32), penultimate: 'stage5' });
  return { name, arch: 'r18', test: { plain: test } };
}

// b is surer than a and c, and decides what a+b says; of a+c, a does.
const members = [mode('a', [0, 1, 2, 3], 4), mode('b', [2, 3, 4, 5, 6, 7], 20), mode('c', [0], 2)];

describe('measureAccuracy', () => {
  it('gives modes, their spread, ensembles and what these gain', async () => {
    const ensembles = [
      ['a', 'b'],
      ['a', 'c'],
    ];
    const found = await measureAccuracy({ in: 'shapes', members, ensembles });
    const top1 = found.modes.map((row) => row.top1);
    assert.deepEqual(top1, [0.5, 0.75, 0.125]);
    // A label other than that of class 5 is behind class 5 and at most the two classes before it: always among five.
    assert.deepEqual(found.modes[2], { kind: 'mode', members: 'c', n: 8, top1: 0.125, top5: 1 });
    assert.deepEqual([found.top1.min, found.top1.max, found.top1.n, found.top5?.mean], [0.125, 0.75, 3, 1]);
    const nothing = { gain: 0 };
    assert.deepEqual(found.ensembles, [
      {
        ...{ kind: 'ensemble', members: 'a+b', n: 8, top1: 0.75, top5: 1 },
        over_mean: { top1: { gain: 0.125 }, top5: nothing },
        over_best: { top1: nothing, top5: nothing },
      },
      {
        ...{ kind: 'ensemble', members: 'a+c', n: 8, top1: 0.5, top5: 1 },
        over_mean: { top1: { gain: 0.1875 }, top5: nothing },
        over_best: { top1: nothing, top5: nothing },
      },
    ]);
    // None of them is all modes together.
    assert.equal(found.ensemble, undefined);
    const all = await measureAccuracy({ in: 'shapes', members, ensembles: [['a', 'b', 'c']] });
    assert.equal(all.ensemble, all.ensembles[0]);
  });

  it('pairs the ensemble with its modes, image by image', async () => {
    const intervals = { resamples: 60, level: 0.8, seed: 3 };
    const found = await measureAccuracy({ in: 'shapes', members, ensembles: [['a', 'b']], intervals });
    assert.deepEqual(found.intervals, intervals);
    const resampler = new Resampler(3, 60);
    const share = (right: readonly number[]) =>
      Float64Array.from({ length: 60 }, (_, resample) => {
        const times = resampler.multiplicities('shapes', LABELS.length, resample);
        return right.reduce((sum, image) => sum + (times[image] as number), 0) / LABELS.length;
      });
    const [a, b] = [share([0, 1, 2, 3]), share([2, 3, 4, 5, 6, 7])];
    const [low, high] = percentileInterval(a, 0.8);
    assert.deepEqual([found.modes[0]?.top1_lo, found.modes[0]?.top1_hi], [low, high]);
    const [ensemble] = found.ensembles;
    // The ensemble is right where b is: over b it gains nothing in any resample.
    assert.deepEqual(ensemble?.over_best.top1, { gain: 0, lo: 0, hi: 0 });
    const [lo, hi] = percentileInterval(
      b.map((value, i) => value - ((a[i] as number) + value) / 2),
      0.8,
    );
    const gain = ensemble?.over_mean.top1;
    for (const [one, other] of [
      [gain?.lo, lo],
      [gain?.hi, hi],
    ]) {
      assert.ok(Math.abs((one as number) - (other as number)) < 1e-12);
    }
    assert.deepEqual([found.modes[0]?.top5_lo, found.modes[0]?.top5_hi], [1, 1]);
  });

  it('stops when asked', async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(measureAccuracy({ in: 'shapes', members, ensembles: [] }, { signal }), { code: 'E_ABORTED' });
  });
});
