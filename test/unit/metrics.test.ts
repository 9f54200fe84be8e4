import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  accuracy,
  buildCurve,
  CONVENTION_NAMES,
  CONVENTIONS,
  type ConventionName,
  MEASURE_NAMES,
  type MeasureName,
  measure,
  summarize,
} from '../../lib/metrics/index.js';

type Numbers = Record<MeasureName, number>;
type Case = { name: string; in: number[]; out: number[] } & Record<ConventionName, Numbers>;

const fixtures = JSON.parse(readFileSync(new URL('../../../test/fixtures/metrics.json', import.meta.url), 'utf8')) as {
  cases: Case[];
};

const close = (found: number, expected: number, what = '') =>
  assert.ok(Math.abs(found - expected) <= 1e-12, `${what} found ${found}, expected ${expected}`);

describe('measure, against scikit-learn and brute force, in each convention', () => {
  assert.equal(fixtures.cases.length, 23);
  for (const fixture of fixtures.cases) {
    it(fixture.name, () => {
      for (const convention of CONVENTION_NAMES) {
        const found = measure(Float64Array.from(fixture.in), Float64Array.from(fixture.out), { convention });
        for (const name of MEASURE_NAMES) {
          close(found[name], fixture[convention][name], `${convention} ${name}`);
        }
      }
    });
  }
});

function byHand(convention: ConventionName, inScores: number[], outScores: number[]) {
  return measure(Float64Array.from(inScores), Float64Array.from(outScores), { convention });
}

describe('conventions, by hand', () => {
  // Accepted from the highest score down, InD of 3 and OoD of 2: at 3 1/0, at 2 2/1, at 1 3/1, at 0 3/2.
  const [inScores, outScores] = [
    [3, 1, 2],
    [0, 2],
  ];
  it('knn: a trapezoid from precision 0', () => {
    const found = byHand('knn', inScores, outScores);
    // Precision 0, 1, 2/3, 3/4 at recall 0, 1/3, 2/3, 1.
    close(found.aupr_in, (1 / 2 + (1 + 2 / 3) / 2 + (2 / 3 + 3 / 4) / 2) / 3);
    // From the lowest score: precision 0 at recall 0; 1, then 1/2 (an InD image) at recall 1/2; 2/4 at recall 1.
    close(found.aupr_out, (1 / 2 + (1 / 2 + 1 / 2) / 2) / 2);
    // round(0.15) = 0: the threshold is 1, above which one of two OoD scores lies.
    assert.equal(found.fpr95, 1 / 2);
  });
  it('openood: a trapezoid from precision 1, and OoD positive', () => {
    const found = byHand('openood', inScores, outScores);
    close(found.aupr_in, (1 + (1 + 2 / 3) / 2 + (2 / 3 + 3 / 4) / 2) / 3);
    close(found.aupr_out, (1 + (1 / 2 + 1 / 2) / 2) / 2);
    // Both OoD images lie at or below 2, and so do two of three InD images.
    close(found.fpr95, 2 / 3);
  });
  it('the detection error is the share on the wrong side of the best threshold, in all of them', () => {
    // At 3 two InD are missed, at 2 one, and one OoD accepted, at 1 none and one.
    for (const convention of CONVENTION_NAMES) {
      assert.equal(byHand(convention, inScores, outScores).detection_error, 1 / 5);
    }
    // All reversed: the best is to accept nothing, or everything.
    assert.equal(byHand('reference', [0, 0], [1, 1, 1]).detection_error, 2 / 5);
    assert.equal(byHand('reference', [0, 0, 0], [1, 1]).detection_error, 2 / 5);
  });
  it('recall in steps of a tenth', () => {
    // InD 5 … 14, OoD 0 … 9. Nearest 95 % is 90 % in float64: InD at or above 6, and of OoD 6 to 9.
    const [ten, other] = [Array.from({ length: 10 }, (_, i) => i + 5), Array.from({ length: 10 }, (_, i) => i)];
    close(byHand('reference', ten, other).fpr95, 0.4);
    // round(0.5) is 0, half to even: the threshold is 5, and OoD above it are 6 to 9.
    close(byHand('knn', ten, other).fpr95, 0.4);
    // Only all ten OoD are 95 % or more: they lie at or below 9, as do InD 5 to 9.
    close(byHand('openood', ten, other).fpr95, 0.5);
  });
  it("knn: Python's rounding, half to even", () => {
    const fpr = (n: number, outs: number[]) =>
      byHand(
        'knn',
        Array.from({ length: n }, (_, i) => i),
        outs,
      ).fpr95;
    // Places: 10 → 0.5 → 0; 30 → 1.5 → 2; 50 → 2.5 → 2; 70 → 3.5 → 4; 29 → 1.45 → 1; 31 → 1.55 → 2.
    for (const [n, place] of [
      [10, 0],
      [30, 2],
      [50, 2],
      [70, 4],
      [29, 1],
      [31, 2],
    ] as const) {
      // Strictly above: the score itself is no false positive, the next higher one is.
      assert.deepEqual([fpr(n, [place]), fpr(n, [place + 0.5]), fpr(n, [place - 0.5])], [0, 1, 0], `${n}`);
    }
  });
  it('constant scores', () => {
    const [five, seven] = [Array(5).fill(3.25), Array(7).fill(3.25)];
    const expected: Record<ConventionName, number[]> = {
      reference: [5 / 12, 7 / 12, 1],
      // Nothing lies strictly above the threshold.
      knn: [5 / 24, 7 / 24, 0],
      openood: [17 / 24, 19 / 24, 1],
    };
    for (const convention of CONVENTION_NAMES) {
      const found = byHand(convention, five, seven);
      const [auprIn, auprOut, fpr] = expected[convention] as [number, number, number];
      assert.deepEqual([found.auroc, found.fpr95, found.detection_error], [0.5, fpr, 5 / 12]);
      close(found.aupr_in, auprIn);
      close(found.aupr_out, auprOut);
      assert.equal(found.warnings.length, 1);
    }
  });
  it('one image a side', () => {
    const numbers = (convention: ConventionName, a: number, b: number) => {
      const { aupr_in, aupr_out, fpr95, detection_error } = byHand(convention, [a], [b]);
      return [aupr_in, aupr_out, fpr95, detection_error];
    };
    assert.deepEqual(numbers('reference', 1, 0), [1, 1, 0, 0]);
    assert.deepEqual(numbers('knn', 1, 0), [1 / 2, 1 / 2, 0, 0]);
    assert.deepEqual(numbers('openood', 1, 0), [1, 1, 0, 0]);
    // Wrong way round: precision 0, then 1/2.
    assert.deepEqual(numbers('reference', 0, 1), [1 / 2, 1 / 2, 1, 1 / 2]);
    assert.deepEqual(numbers('knn', 0, 1), [1 / 4, 1 / 4, 1, 1 / 2]);
    assert.deepEqual(numbers('openood', 0, 1), [1 / 4, 1 / 4, 1, 1 / 2]);
  });
  it('openood: takes every distinct score for a threshold', () => {
    // One image of each side at each of 20 scores: 95 % of OoD are reached at 18, with 19 of 20 InD images. scikit-learn's
    // roc_curve keeps only the ends of this straight line, and would say 1.
    const scores = Array.from({ length: 20 }, (_, i) => i);
    assert.equal(byHand('openood', scores, scores).fpr95, 19 / 20);
  });
  it('each has a line that names it and says which side is positive', () => {
    for (const [name, { summary, positive }] of Object.entries(CONVENTIONS)) {
      const side = positive === 'in' ? 'in-distribution' : 'out-of-distribution';
      assert.ok(summary.startsWith(`convention "${name}": ${side} is the positive class; `), summary);
    }
  });
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
