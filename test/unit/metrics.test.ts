import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { accuracy, buildCurve, measure, summarize } from '../../lib/metrics/index.js';

interface Case {
  name: string;
  in: number[];
  out: number[];
  auroc: number;
  aupr_in: number;
  aupr_out: number;
  fpr95: number;
}

const fixtures = JSON.parse(readFileSync(new URL('../../../test/fixtures/metrics.json', import.meta.url), 'utf8')) as {
  cases: Case[];
};

const close = (found: number, expected: number) =>
  assert.ok(Math.abs(found - expected) <= 1e-12, `found ${found}, expected ${expected}`);

describe('measure, against scikit-learn and a brute-force FPR', () => {
  assert.equal(fixtures.cases.length, 19);
  for (const fixture of fixtures.cases) {
    it(fixture.name, () => {
      const found = measure(Float64Array.from(fixture.in), Float64Array.from(fixture.out));
      close(found.auroc, fixture.auroc);
      close(found.aupr_in, fixture.aupr_in);
      close(found.aupr_out, fixture.aupr_out);
      close(found.fpr95, fixture.fpr95);
    });
  }
});

describe('measure, by hand', () => {
  it('counts pairs and ties', () => {
    // In 3, 2, 1; out 2, 0: of six pairs four are won, (3,2) (3,0) (2,0) (1,0), and (2,2) counts half: 4.5 / 6.
    const found = measure(Float64Array.of(3, 1, 2), Float64Array.of(0, 2));
    assert.equal(found.auroc, 4.5 / 6);
    // InD: at 3 precision 1; at 2 2/3; at 1 3/4; each a third of the recall.
    close(found.aupr_in, (1 + 2 / 3 + 3 / 4) / 3);
    // OoD, from the lowest score: at 0 precision 1 (1 of 1), at 1 no new recall, at 2 2/4.
    close(found.aupr_out, (1 + 2 / 4) / 2);
    // Recalls 1/3, 2/3, 1: 1 is nearest 0.95; its highest threshold is 1, at or above which one of two OoD lies.
    assert.equal(found.fpr95, 0.5);
    assert.deepEqual(found.warnings, []);
  });

  it('does not change its input', () => {
    const scores = Float64Array.of(3, 1, 2);
    measure(scores, Float64Array.of(5, 4));
    assert.deepEqual([...scores], [3, 1, 2]);
  });

  it('takes the lowest threshold of the recall nearest 0.95', () => {
    // 20 InD scores 1 … 20: recall 0.95 exactly from threshold 2 on; OoD at 2.5, 1.5 and 0.
    const inScores = Float64Array.from({ length: 20 }, (_, i) => i + 1);
    assert.equal(measure(inScores, Float64Array.of(2.5, 1.5, 0)).fpr95, 2 / 3);
  });

  it('collapses equal scores, also 0 and -0', () => {
    const curve = buildCurve(Float64Array.of(0, 1, 1), Float64Array.of(-0, 1), { in: 'in', out: 'out' });
    assert.deepEqual([...curve.thresholds], [1, 0]);
    assert.deepEqual([...curve.tp], [2, 3]);
    assert.deepEqual([...curve.fp], [1, 2]);
  });

  it('warns where all scores are tied', () => {
    const found = measure(new Float64Array(4).fill(1), new Float64Array(3).fill(1), {
      names: { in: 'cifar10', out: 'SVHN' },
    });
    assert.equal(found.auroc, 0.5);
    assert.equal(found.fpr95, 1);
    assert.equal(found.warnings.length, 1);
    assert.match(found.warnings[0] ?? '', /All scores of cifar10 and SVHN are equal \(1\)/);
  });

  it('is exact and quick on two hundred thousand scores', () => {
    const n = 100_000;
    const inScores = Float64Array.from({ length: n }, (_, i) => 2 * i + 1);
    const outScores = Float64Array.from({ length: n }, (_, i) => 2 * i);
    const started = performance.now();
    // InD score 2i+1 beats the i+1 OoD scores up to 2i: n(n+1)/2 of n² pairs.
    assert.equal(measure(inScores, outScores).auroc, (n + 1) / (2 * n));
    assert.ok(performance.now() - started < 2000);
  });
});

describe('measure, bad input', () => {
  const names = { in: 'the test split', out: 'SVHN' };
  const fails = (inScores: number[], outScores: number[], message: RegExp) =>
    assert.throws(() => measure(Float64Array.from(inScores), Float64Array.from(outScores), { names }), {
      name: 'ModeEnsembleError',
      code: 'E_NUMERIC',
      message,
    });
  it('names the set and index of NaN', () => fails([1, 2], [0, Number.NaN], /Score 1 of SVHN is NaN/));
  it('names the set and index of infinity', () => {
    fails([1, 2, Number.POSITIVE_INFINITY], [0], /Score 2 of the test split is Infinity/);
    fails([Number.NEGATIVE_INFINITY], [0], /Score 0 of the test split is -Infinity/);
  });
  it('names an empty side', () => {
    fails([], [0], /The scores of the test split are empty/);
    fails([0], [], /The scores of SVHN are empty/);
  });
});

describe('summarize', () => {
  it('uses n - 1', () => {
    // 1, 2, 4: mean 7/3, squares (16 + 1 + 25)/9 = 42/9, over 2 = 7/3.
    const found = summarize([1, 2, 4]);
    assert.equal(found.n, 3);
    close(found.mean, 7 / 3);
    close(found.std ?? Number.NaN, Math.sqrt(7 / 3));
    assert.equal(found.min, 1);
    assert.equal(found.max, 4);
  });
  it('has no deviation for one value', () => {
    assert.deepEqual(summarize([5]), { n: 1, mean: 5, std: null, min: 5, max: 5 });
  });
  it('refuses nothing', () => assert.throws(() => summarize([]), RangeError));
});

describe('accuracy', () => {
  const labels = Int32Array.of(0, 1, 2);
  it('counts top-1, lower class first on equal logits', () => {
    const logits = Float64Array.of(1, 0, 0, /**/ 2, 2, 0, /**/ 0, 0, 1);
    assert.deepEqual(accuracy(logits, labels, 3), { n: 3, top1: 2 / 3 });
  });
  it('counts top-5 from six classes on', () => {
    const logits = Float64Array.of(0, 1, 2, 3, 4, 5, /**/ 0, 1, 2, 3, 4, 5, /**/ 0, 1, 9, 3, 4, 5);
    assert.deepEqual(accuracy(logits, labels, 6), { n: 3, top1: 1 / 3, top5: 2 / 3 });
  });
  it('names a label that is no class, a NaN and a wrong size', () => {
    const logits = new Float64Array(9);
    assert.throws(() => accuracy(logits, Int32Array.of(0, 3, 1), 3, 'seed 1'), {
      code: 'E_DATA',
      message: /Label 3 of image 1 of seed 1 is not a class of the network \(0 to 2\)/,
    });
    assert.throws(() => accuracy(logits, Int32Array.of(0, -1, 1), 3), {
      code: 'E_DATA',
      message: /Label -1 of image 1/,
    });
    assert.throws(() => accuracy(Float64Array.of(0, 0, 0, 0, Number.NaN, 0), Int32Array.of(0, 1), 3), {
      code: 'E_NUMERIC',
      message: /Logit 1 of image 1/,
    });
    assert.throws(() => accuracy(logits, labels, 4), { code: 'E_DATA', message: /expected 3 × 4 logits/ });
    assert.throws(() => accuracy(new Float64Array(0), new Int32Array(0), 4), { code: 'E_DATA' });
  });
});
