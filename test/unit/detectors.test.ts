import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  DETECTORS,
  getDetector,
  resolveParameters,
  type ScoreContext,
  type SetContext,
} from '../../lib/detectors/index.js';
import type { FeatureFile } from '../../lib/features/index.js';
import type { NeighboursOptions } from '../../lib/native/contract.js';

const close = (found: number | undefined, expected: number) =>
  assert.ok(
    Math.abs((found as number) - expected) <= 1e-14 * Math.max(1, Math.abs(expected)),
    `${found}, expected ${expected}`,
  );

function logitSet(name: string, rows: number[][]): SetContext {
  const classes = rows[0]?.length ?? 0;
  return {
    name,
    count: rows.length,
    classes,
    files: [],
    meanLogits: async () => Float64Array.from(rows.flat()),
  };
}

function context(sets: SetContext[], change: Partial<ScoreContext> = {}): ScoreContext {
  const neighbours = () => assert.fail('no neighbour search expected');
  return { sets, train: [], parameters: {}, threads: 1, hooks: {}, neighbours, ...change };
}

describe('the table of detectors', () => {
  it('has each detector once, with what it needs', () => {
    assert.deepEqual(
      DETECTORS.map(({ name, needs }) => [name, needs.logits, needs.penultimate, needs.fit]),
      [
        ['msp', true, false, 'none'],
        ['energy', true, false, 'none'],
        ['knn', false, true, 'train'],
      ],
    );
  });
  it('finds names in any case and suggests the nearest', () => {
    assert.equal(getDetector('kNN').name, 'knn');
    assert.throws(() => getDetector('enrgy'), {
      code: 'E_CONFIG',
      message: /^Unknown detector "enrgy"; .*"energy"/,
    });
    assert.throws(() => getDetector('mahalanobis'), { code: 'E_CONFIG', message: /msp, energy, knn/ });
  });
  it('fills in and checks parameters', () => {
    const knn = getDetector('knn');
    assert.deepEqual(resolveParameters(knn), { k: 50 });
    assert.deepEqual(resolveParameters(knn, { k: 1 }), { k: 1 });
    for (const k of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => resolveParameters(knn, { k }), {
        code: 'E_CONFIG',
        message: `Detector knn, k: expected a whole number at least 1, found ${k}.`,
      });
    }
    const energy = getDetector('energy');
    assert.deepEqual(resolveParameters(energy), { temperature: 1 });
    assert.throws(() => resolveParameters(energy, { temperature: 0 }), {
      message: /expected a number above 0, found 0/,
    });
    assert.throws(() => resolveParameters(energy, { temprature: 2 }), {
      code: 'E_CONFIG',
      message: /^Detector energy has no parameter "temprature"; .*"temperature"/,
    });
    assert.throws(() => resolveParameters(getDetector('msp'), { k: 2 }), { code: 'E_CONFIG', message: /it has none/ });
  });
});

describe('msp', () => {
  const score = async (rows: number[][]) =>
    (await getDetector('msp').score(context([logitSet('a', rows)])))[0] as Float64Array;

  it('is the largest softmax probability', async () => {
    // Odds 1 : 2 : 5, so 5/8; two equal logits 1/2; four equal 1/4.
    const found = await score([[0, Math.log(2), Math.log(5)]]);
    close(found[0], 5 / 8);
    assert.deepEqual(await score([[3, 3]]), Float64Array.of(0.5));
    assert.deepEqual(await score([[-7, -7, -7, -7]]), Float64Array.of(0.25));
  });
  it('neither overflows nor loses small differences', async () => {
    const [huge, tiny, a, b] = await score([
      [1e308, -1e308],
      [-1e308, -1e308],
      [36, 0],
      [35.5, 0],
    ]);
    assert.equal(huge, 1);
    assert.equal(tiny, 0.5);
    assert.ok((a as number) > (b as number) && (a as number) < 1);
  });
  it('keeps the order of images whose probability is next to 1', async () => {
    const gaps = Array.from({ length: 300 }, (_, i) => 30 + i / 20);
    const found = await score(gaps.map((gap) => [gap, 0, 0]));
    for (let i = 1; i < found.length; i++) assert.ok((found[i] as number) >= (found[i - 1] as number));
  });
  it('passes NaN and infinite logits on as NaN, for the metrics to name', async () => {
    const found = await score([
      [Number.NaN, 1],
      [1, Number.NaN],
      [Number.POSITIVE_INFINITY, 1],
    ]);
    assert.deepEqual(found, Float64Array.of(Number.NaN, Number.NaN, Number.NaN));
  });
});

describe('energy', () => {
  const score = async (rows: number[][], temperature = 1) => {
    const sets = [logitSet('a', rows)];
    return (await getDetector('energy').score(context(sets, { parameters: { temperature } })))[0] as Float64Array;
  };
  it('is T·logsumexp(z/T)', async () => {
    close((await score([[0, Math.log(2), Math.log(5)]]))[0], Math.log(8));
    // T = 2: z/T = log 1, log 2, log 5.
    close((await score([[0, 2 * Math.log(2), 2 * Math.log(5)]], 2))[0], 2 * Math.log(8));
  });
  it('keeps to large logits', async () => {
    assert.deepEqual(
      await score([
        [1000, 1000],
        [-1000, -2000],
      ]),
      Float64Array.of(1000 + Math.log(2), -1000),
    );
  });
  it('passes infinite logits on', async () => {
    assert.deepEqual(await score([[Number.POSITIVE_INFINITY, 1]]), Float64Array.of(Number.POSITIVE_INFINITY));
  });
});

describe('knn', () => {
  const file = (path: string, count: number, penultimate = 'stage5') => ({ path, count, penultimate }) as FeatureFile;
  const set = (name: string, count: number, files: FeatureFile[]): SetContext => ({
    name,
    count,
    classes: 2,
    files,
    meanLogits: () => assert.fail('kNN reads no logits'),
  });
  const train = [file('train-1', 60), file('train-2', 60)];
  const sets = [
    set('test', 2, [file('test-1', 2), file('test-2', 2)]),
    set('SVHN', 1, [file('svhn-1', 1), file('svhn-2', 1)]),
  ];
  const knn = getDetector('knn');

  it('asks for all sets in one job and gives minus the distance', async () => {
    const asked: NeighboursOptions[] = [];
    const found = await knn.score(
      context(sets, {
        train,
        threads: 3,
        parameters: { k: 50 },
        neighbours: (options) => {
          asked.push(options);
          const distances = [Float32Array.of(0.25, 0), Float32Array.of(1.5)];
          return { done: Promise.resolve({ distances }), abort() {} };
        },
      }),
    );
    assert.deepEqual(asked, [
      {
        bank: ['train-1', 'train-2'],
        queries: [
          ['test-1', 'test-2'],
          ['svhn-1', 'svhn-2'],
        ],
        tensor: 'stage5',
        k: 50,
        threads: 3,
      },
    ]);
    assert.deepEqual(found, [Float64Array.of(-0.25, 0), Float64Array.of(-1.5)]);
  });
  it('refuses a k beyond the bank with both numbers', async () => {
    await assert.rejects(knn.score(context(sets, { train, parameters: { k: 61 } })), {
      code: 'E_CONFIG',
      message: 'knn: k is 61, but the training data has only 60 images.',
    });
  });
  it('refuses files with different penultimate features', async () => {
    const other = [set('test', 2, [file('test-1', 2), file('test-2', 2, 'stage4')])];
    await assert.rejects(knn.score(context(other, { train, parameters: { k: 1 } })), {
      code: 'E_DATA',
      message: /"stage5" in train-1, but "stage4" in test-2/,
    });
  });
  it('refuses an answer of another size', async () => {
    const neighbours = () => ({ done: Promise.resolve({ distances: [Float32Array.of(1, 2)] }), abort() {} });
    await assert.rejects(knn.score(context(sets, { train, parameters: { k: 1 }, neighbours })), {
      code: 'E_DATA',
      message: /expected 1 distances for SVHN, found 0/,
    });
  });
});
