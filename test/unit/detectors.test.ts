import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  DETECTORS,
  getDetector,
  type Parameters,
  resolveParameters,
  type ScoreContext,
  type SetContext,
  type SetDetector,
} from '../../lib/detectors/index.js';
import { type FeatureFile, passId } from '../../lib/features/index.js';
import type { NeighboursOptions } from '../../lib/native/contract.js';

const close = (found: number | undefined, expected: number) =>
  assert.ok(
    Math.abs((found as number) - expected) <= 1e-14 * Math.max(1, Math.abs(expected)),
    `${found}, expected ${expected}`,
  );

/** Scores of rows of mean logits; `norms` are those of the members' penultimate features. */
function scoreOf(name: string, rows: number[][], given: Parameters = {}, norms: number[][] = []): Float64Array {
  const detector = getDetector(name);
  assert.ok('scoreRows' in detector);
  const block = { first: 0, rows: rows.length, classes: rows[0]?.length ?? 0, logits: Float64Array.from(rows.flat()) };
  const featureNorms = norms.map((own) => Float64Array.from(own));
  return detector.scoreRows({ ...block, featureNorms }, resolveParameters(detector, given));
}

function context(sets: SetContext[], change: Partial<ScoreContext> = {}): ScoreContext {
  const services = { neighbours: () => assert.fail('no neighbour search expected') };
  return { members: ['a', 'b'], sets, train: [], parameters: {}, threads: 1, hooks: {}, services, ...change };
}

describe('the table of detectors', () => {
  it('has each detector once, with what it needs', () => {
    assert.deepEqual(
      DETECTORS.map((detector) => {
        const { passes, penultimate, stages, fit } = detector.needs(resolveParameters(detector));
        return [detector.name, passes.map(passId), penultimate, stages, fit, detector.space];
      }),
      [
        ['msp', ['plain'], false, false, 'none', 'logits'],
        ['odin', ['perturbed 1000 0.0014 own'], false, false, 'none', 'logits'],
        ['energy', ['plain'], false, false, 'none', 'logits'],
        ['mahalanobis', ['plain'], false, true, 'train', 'features'],
        ['gradnorm', ['plain'], true, false, 'none', 'logits'],
        ['rankfeat', ['rank1'], false, true, 'none', 'logits'],
        ['knn', ['plain'], true, false, 'train', 'features'],
      ],
    );
  });
  it("takes a suite's defaults, and reads the plain pass where nothing is perturbed", () => {
    const odin = getDetector('odin');
    const parameters = resolveParameters(odin, {}, 'imagenet');
    assert.deepEqual(parameters, { temperature: 1000, magnitude: 0, gradient: 'own' });
    assert.deepEqual(odin.needs(parameters).passes.map(passId), ['plain']);
    assert.deepEqual(resolveParameters(getDetector('knn'), {}, 'imagenet'), { k: 1000 });
    assert.throws(() => resolveParameters(odin, { gradient: 'sum' }), {
      message: 'Detector odin, gradient: expected own or accumulated, found sum.',
    });
  });
  it('finds names in any case and suggests the nearest', () => {
    assert.equal(getDetector('kNN').name, 'knn');
    assert.throws(() => getDetector('enrgy'), {
      code: 'E_CONFIG',
      message: /^Unknown detector "enrgy"; .*"energy"/,
    });
    assert.throws(() => getDetector('nothing'), { code: 'E_CONFIG', message: /msp, odin, energy/ });
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
  const score = (rows: number[][]) => scoreOf('msp', rows);

  it('is the largest softmax probability', async () => {
    // Odds 1 : 2 : 5, so 5/8; two equal logits 1/2; four equal 1/4.
    const found = score([[0, Math.log(2), Math.log(5)]]);
    close(found[0], 5 / 8);
    assert.deepEqual(score([[3, 3]]), Float64Array.of(0.5));
    assert.deepEqual(score([[-7, -7, -7, -7]]), Float64Array.of(0.25));
  });
  it('neither overflows nor loses small differences', async () => {
    const [huge, tiny, a, b] = score([
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
    const found = score(gaps.map((gap) => [gap, 0, 0]));
    for (let i = 1; i < found.length; i++) assert.ok((found[i] as number) >= (found[i - 1] as number));
  });
  it('passes NaN and infinite logits on as NaN, for the metrics to name', async () => {
    const found = score([
      [Number.NaN, 1],
      [1, Number.NaN],
      [Number.POSITIVE_INFINITY, 1],
    ]);
    assert.deepEqual(found, Float64Array.of(Number.NaN, Number.NaN, Number.NaN));
  });
});

describe('energy', () => {
  const score = (rows: number[][], temperature = 1) => scoreOf('energy', rows, { temperature });
  it('is T·logsumexp(z/T)', async () => {
    close(score([[0, Math.log(2), Math.log(5)]])[0], Math.log(8));
    // T = 2: z/T = log 1, log 2, log 5.
    close(score([[0, 2 * Math.log(2), 2 * Math.log(5)]], 2)[0], 2 * Math.log(8));
  });
  it('keeps to large logits', async () => {
    assert.deepEqual(
      score([
        [1000, 1000],
        [-1000, -2000],
      ]),
      Float64Array.of(1000 + Math.log(2), -1000),
    );
  });
  it('passes infinite logits on', async () => {
    assert.deepEqual(score([[Number.POSITIVE_INFINITY, 1]]), Float64Array.of(Number.POSITIVE_INFINITY));
  });
});

describe('odin', () => {
  it('is the largest softmax probability at its temperature', () => {
    close(scoreOf('odin', [[0, 2 * Math.log(2), 2 * Math.log(5)]], { temperature: 2 })[0], 5 / 8);
  });
});

describe('gradnorm', () => {
  it('is ‖C·p − 1‖₁ times the mean feature norm, over members and temperature', () => {
    // p = 1/8, 2/8, 5/8: |3/8 − 1| + |6/8 − 1| + |15/8 − 1| = 5/8 + 2/8 + 7/8 = 14/8.
    const row = [[0, Math.log(2), Math.log(5)]];
    close(scoreOf('gradnorm', row, {}, [[10]])[0], 17.5);
    close(scoreOf('gradnorm', row, {}, [[10], [30]])[0], ((14 / 8) * 20) / 2);
    const half = [[0, 2 * Math.log(2), 2 * Math.log(5)]];
    close(scoreOf('gradnorm', half, { temperature: 2 }, [[10]])[0], 17.5 / 2);
  });
});

describe('knn', () => {
  const file = (path: string, count: number, penultimate = 'stage5') => ({ path, count, penultimate }) as FeatureFile;
  const set = (name: string, count: number, files: FeatureFile[]): SetContext => ({
    name,
    count,
    files,
  });
  const train = [file('train-1', 60), file('train-2', 60)];
  const sets = [
    set('test', 2, [file('test-1', 2), file('test-2', 2)]),
    set('SVHN', 1, [file('svhn-1', 1), file('svhn-2', 1)]),
  ];
  const knn = getDetector('knn') as SetDetector;

  it('asks for all sets in one job and gives minus the distance', async () => {
    const asked: Omit<NeighboursOptions, 'memory'>[] = [];
    const found = await knn.scoreSets(
      context(sets, {
        train,
        threads: 3,
        parameters: { k: 50 },
        services: {
          neighbours: (options) => {
            asked.push(options);
            const distances = [Float32Array.of(0.25, 0), Float32Array.of(1.5)];
            return { done: Promise.resolve({ distances }), abort() {} };
          },
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
    await assert.rejects(knn.scoreSets(context(sets, { train, parameters: { k: 61 } })), {
      code: 'E_CONFIG',
      message: 'knn: k is 61, but the training data has only 60 images.',
    });
  });
  it('refuses files with different penultimate features', async () => {
    const other = [set('test', 2, [file('test-1', 2), file('test-2', 2, 'stage4')])];
    await assert.rejects(knn.scoreSets(context(other, { train, parameters: { k: 1 } })), {
      code: 'E_DATA',
      message: /"stage5" in train-1, but "stage4" in test-2/,
    });
  });
  it('refuses an answer of another size', async () => {
    const neighbours = () => ({ done: Promise.resolve({ distances: [Float32Array.of(1, 2)] }), abort() {} });
    await assert.rejects(knn.scoreSets(context(sets, { train, parameters: { k: 1 }, services: { neighbours } })), {
      code: 'E_DATA',
      message: /expected 1 distances for SVHN, found 0/,
    });
  });
});
