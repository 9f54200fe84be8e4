import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  accuracyOf,
  BETTER,
  CONVENTION_NAMES,
  type ConventionName,
  DEFAULT_INTERVALS,
  type Interval,
  labelPlaces,
  MEASURE_NAMES,
  type MeasureName,
  measure,
  measureIntervals,
  PairResampling,
  pairedGain,
  percentileInterval,
  Resampler,
  resampleAccuracy,
} from '../../lib/metrics/index.js';
import { drawFrom, drawMultiplicities, stateOf } from '../../lib/metrics/random.js';

interface Bootstrap {
  seed: number;
  resamples: number;
  level: number;
  names: { in: string; out: string };
  scores: Record<string, { in: number[]; out: number[] }>;
  intervals: Record<ConventionName, Record<string, Record<MeasureName, Interval>>>;
  gains: Record<ConventionName, Record<MeasureName, Interval>>;
}

const { random, bootstrap } = JSON.parse(
  readFileSync(new URL('../../../test/fixtures/metrics.json', import.meta.url), 'utf8'),
) as {
  random: { words: number[]; draws: { seed: number; set: string; resample: number; n: number; places: number[] }[] };
  bootstrap: Bootstrap;
};

const close = (found: number, expected: number, what = '') =>
  assert.ok(Math.abs(found - expected) <= 1e-12, `${what}: found ${found}, expected ${expected}`);

/** Standard normal numbers from a named stream (Box and Muller), so that the statistical tests are the same each time. */
function normals(stream: string, count: number, mean = 0): Float64Array {
  const uniform: number[] = [];
  drawFrom(stateOf(stream), 2 * count, 2 ** 32, (word) => uniform.push((word + 0.5) / 2 ** 32));
  return Float64Array.from({ length: count }, (_, i) => {
    const [u, v] = [uniform[2 * i] as number, uniform[2 * i + 1] as number];
    return mean + Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  });
}

/** The scores of a resample, really drawn: each image as often as it was drawn. */
function drawn(scores: Float64Array, times: Uint8Array): Float64Array {
  return Float64Array.from([...scores].flatMap((score, i) => Array<number>(times[i] as number).fill(score)));
}

describe('random draws', () => {
  it('are those of xoshiro128** 1.1', () => {
    const words: number[] = [];
    // With n = 2^32 a place is a word.
    drawFrom(Uint32Array.of(1, 2, 3, 4), random.words.length, 2 ** 32, (word) => words.push(word));
    assert.deepEqual(words, random.words);
  });

  it('are places of named streams, as Python draws them', () => {
    for (const { seed, set, resample, n, places } of random.draws) {
      const found: number[] = [];
      const stream = JSON.stringify(['bootstrap', seed, set, resample]);
      drawFrom(stateOf(stream), n, n, (place) => found.push(place));
      assert.deepEqual(found, places);
      const tally = new Uint8Array(n);
      drawMultiplicities(stream, tally);
      assert.deepEqual(
        [...tally],
        [...tally].map((_, i) => places.filter((place) => place === i).length),
      );
      assert.deepEqual(new Resampler(seed, 1000).multiplicities(set, n, resample), tally);
    }
  });

  it('are uniform', () => {
    const counts = new Float64Array(7);
    drawFrom(stateOf('uniform'), 70_000, 7, (place) => {
      counts[place] = (counts[place] as number) + 1;
    });
    // Chi-squared with six degrees of freedom is above 22.5 once in a thousand.
    const chi = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    assert.ok(chi < 22.5, `${chi}`);
  });
});

describe('Resampler', () => {
  it('draws as many images as there are, the same for the same seed, set and number', () => {
    const [a, b] = [new Resampler(5, 20), new Resampler(5, 40)];
    for (const resample of [0, 7, 19]) {
      const times = a.multiplicities('x', 300, resample).slice();
      assert.equal(
        times.reduce((sum, count) => sum + count, 0),
        300,
      );
      assert.deepEqual(b.multiplicities('x', 300, resample), times);
      assert.notDeepEqual(new Resampler(6, 20).multiplicities('x', 300, resample), times);
      assert.notDeepEqual(a.multiplicities('y', 300, resample), times);
    }
    assert.notDeepEqual(a.multiplicities('x', 300, 0), a.multiplicities('x', 300, 1));
  });

  it('does not depend on which sets came before, or on how large they are', () => {
    const resampler = new Resampler(5, 1000);
    const first = resampler.multiplicities('x', 50, 3).slice();
    for (const set of ['a', 'b', 'c']) resampler.multiplicities(set, 40, 0);
    assert.deepEqual(resampler.multiplicities('x', 50, 3), first);
    // Too large for its multiplicities to be kept.
    const large = resampler.multiplicities('large', 140_000, 9);
    assert.deepEqual(new Resampler(5, 10).multiplicities('large', 140_000, 9), large);
  });

  it('refuses a set of another size, which could not be paired, and no resamples', () => {
    const resampler = new Resampler();
    resampler.multiplicities('SVHN', 10, 0);
    assert.throws(() => resampler.multiplicities('SVHN', 9, 0), {
      code: 'E_DATA',
      message: 'Resamples of SVHN: expected 10 images as before, found 9.',
    });
    assert.throws(() => new Resampler(0, 0), { code: 'E_CONFIG', message: /at least 1, found 0/ });
    assert.deepEqual([resampler.seed, resampler.resamples], [DEFAULT_INTERVALS.seed, DEFAULT_INTERVALS.resamples]);
  });
});

describe('percentileInterval', () => {
  it('is linear between neighbours, as numpy', () => {
    const ramp = Float64Array.from({ length: 101 }, (_, i) => 100 - i);
    for (const [level, low, high] of [
      [0.95, 2.5, 97.5],
      [0.9, 5, 95],
    ] as const) {
      const found = percentileInterval(ramp, level);
      close(found[0], low, `${level} low`);
      close(found[1], high, `${level} high`);
    }
    assert.deepEqual(percentileInterval(Float64Array.of(7)), [7, 7]);
    // Places 0.25 and 0.75 of 1 and 2.
    assert.deepEqual(percentileInterval(Float64Array.of(2, 1), 0.5), [1.25, 1.75]);
    assert.equal(ramp[0], 100);
  });
  it('refuses no values and a level that is none', () => {
    assert.throws(() => percentileInterval(new Float64Array(0)), { code: 'E_CONFIG' });
    assert.throws(() => percentileInterval(Float64Array.of(1), 1), { code: 'E_CONFIG', message: /level 1/ });
  });
});

describe('intervals of a pair of sets', () => {
  const { seed, resamples, level, names, scores } = bootstrap;
  const vectors = (convention: ConventionName) => {
    const resampler = new Resampler(seed, resamples);
    return Object.fromEntries(
      Object.entries(scores).map(([subset, { in: a, out: b }]) => {
        const pair = new PairResampling(Float64Array.from(a), Float64Array.from(b), {
          convention,
          sets: names,
          resampler,
        });
        pair.run();
        return [subset, pair.values];
      }),
    );
  };

  for (const convention of CONVENTION_NAMES) {
    it(`are those of scikit-learn on resamples drawn in Python: ${convention}`, () => {
      const found = vectors(convention);
      for (const name of MEASURE_NAMES) {
        for (const subset of Object.keys(scores)) {
          const [low, high] = percentileInterval(found[subset]?.[name] as Float64Array, level);
          const expected = bootstrap.intervals[convention][subset]?.[name] as Interval;
          close(low, expected[0], `${subset} ${name} low`);
          close(high, expected[1], `${subset} ${name} high`);
        }
        const members = ['1', '2'].map((mode) => found[mode]?.[name] as Float64Array);
        const gain = pairedGain(found['1+2']?.[name] as Float64Array, members, BETTER[name]);
        const [low, high] = percentileInterval(gain, level);
        close(low, bootstrap.gains[convention][name][0], `gain in ${name} low`);
        close(high, bootstrap.gains[convention][name][1], `gain in ${name} high`);
      }
    });

    it(`are those of measure() on each resample: ${convention}`, () => {
      const rounded = (values: Float64Array) => values.map((value) => Math.round(2 * value) / 2);
      const pairs = [
        [normals('plain in', 150, 1), normals('plain out', 220)],
        [rounded(normals('tied in', 150, 1)), rounded(normals('tied out', 220))],
        [Float64Array.of(1), Float64Array.of(0)],
        [Float64Array.of(2, 2, 2), Float64Array.of(2, 2)],
      ] as const;
      for (const [index, [inScores, outScores]] of pairs.entries()) {
        const resampler = new Resampler(index, 40);
        const options = { convention, sets: { in: 'i', out: 'o' }, resampler };
        const pair = new PairResampling(inScores, outScores, options);
        assert.equal(pair.images, inScores.length + outScores.length);
        // In pieces, as an evaluation does it.
        pair.run(0, 13);
        pair.run(13);
        for (let resample = 0; resample < 40; resample++) {
          const a = drawn(inScores, resampler.multiplicities('i', inScores.length, resample));
          const b = drawn(outScores, resampler.multiplicities('o', outScores.length, resample));
          const expected = measure(a, b, { convention });
          for (const name of MEASURE_NAMES) {
            close(
              pair.values[name][resample] as number,
              expected[name],
              `pair ${index}, resample ${resample}, ${name}`,
            );
          }
        }
      }
    });
  }

  it('are the same for the same seed, and others for another', () => {
    const [a, b] = [normals('same in', 80, 1), normals('same out', 90)];
    const intervals = (own: number) =>
      measureIntervals(a, b, { sets: { in: 'i', out: 'o' }, resampler: new Resampler(own, 100) });
    assert.equal(JSON.stringify(intervals(3)), JSON.stringify(intervals(3)));
    assert.notDeepEqual(intervals(4), intervals(3));
  });

  it('share the in-distribution resamples over OoD sets', () => {
    const resampler = new Resampler(2, 30);
    const inScores = normals('shared', 60);
    // An OoD set of one image has but one resample, so that AUROC depends on the resample of the other side alone.
    const values = (out: string) => {
      const pair = new PairResampling(inScores, Float64Array.of(0), { sets: { in: 'i', out }, resampler });
      pair.run();
      return pair.values.auroc;
    };
    assert.deepEqual(values('a'), values('b'));
  });

  it('cover the true AUROC of two normal distributions about as often as they say', () => {
    // P(N(1, 1) > N(0, 1)) = Φ(1/√2) = 0.7602499389065233 (scipy.stats.norm.cdf).
    const truth = 0.7602499389065233;
    const trials = 300;
    let covered = 0;
    for (let trial = 0; trial < trials; trial++) {
      const [a, b] = [normals(`in ${trial}`, 100, 1), normals(`out ${trial}`, 120)];
      const resampler = new Resampler(trial, 200);
      const [low, high] = measureIntervals(a, b, { sets: { in: 'i', out: 'o' }, resampler, level: 0.9 }).auroc;
      if (low <= truth && truth <= high) covered++;
    }
    // 0.9, give or take three standard deviations of 300 trials (0.017 each).
    assert.ok(Math.abs(covered / trials - 0.9) < 0.052, `${covered} of ${trials}`);
  });

  it('are narrower when paired: what images have in common cancels', () => {
    const [inBase, outBase] = [normals('base in', 200, 1), normals('base out', 200)];
    const resampler = new Resampler(1, 300);
    const auroc = (noise: string) => {
      const shake = (base: Float64Array, side: string) => {
        const extra = normals(`${noise} ${side}`, base.length);
        return base.map((value, i) => value + 0.1 * (extra[i] as number));
      };
      const pair = new PairResampling(shake(inBase, 'in'), shake(outBase, 'out'), {
        sets: { in: 'i', out: 'o' },
        resampler,
      });
      pair.run();
      return pair.values.auroc;
    };
    const [one, two, three] = [auroc('one'), auroc('two'), auroc('three')];
    const width = ([low, high]: Interval) => high - low;
    const paired = width(percentileInterval(pairedGain(three, [one, two], 'higher')));
    assert.ok(paired < width(percentileInterval(three)) / 3, `${paired}`);
  });

  it('name the set and image of a score that is not finite, and vectors that do not fit', () => {
    const options = { sets: { in: 'i', out: 'o' }, resampler: new Resampler(), names: { in: 'a', out: 'b' } };
    assert.throws(() => new PairResampling(Float64Array.of(1), Float64Array.of(0, Number.NaN), options), {
      code: 'E_NUMERIC',
      message: /Score 1 of b is NaN/,
    });
    const [two, three] = [new Float64Array(2), new Float64Array(3)];
    assert.throws(() => pairedGain(two, [two, three], 'lower'), {
      code: 'E_DATA',
      message: 'A paired difference: expected 2 numbers, found 3 numbers.',
    });
    assert.throws(() => pairedGain(two, [], 'lower'), { code: 'E_DATA', message: /found no member/ });
  });
});

describe('pairedGain', () => {
  it('is above 0 where the ensemble is better than the mean of its modes', () => {
    const ensemble = Float64Array.of(0.5, 0.25);
    const members = [Float64Array.of(0.75, 0.5), Float64Array.of(0.25, 0.5)];
    assert.deepEqual(pairedGain(ensemble, members, 'lower'), Float64Array.of(0, 0.25));
    assert.deepEqual(pairedGain(ensemble, members, 'higher'), Float64Array.of(0, -0.25));
  });
});

describe('intervals of accuracy', () => {
  const classes = 8;
  const labels = Int32Array.from({ length: 90 }, (_, i) => i % classes);
  const logits = normals('logits', 90 * classes);

  it('are of the accuracy of each resample', () => {
    const resampler = new Resampler(4, 25);
    const places = labelPlaces(logits, labels, classes);
    const found = resampleAccuracy(places, classes, 'test', resampler);
    for (let resample = 0; resample < 25; resample++) {
      const times = resampler.multiplicities('test', 90, resample);
      const rows = [...labels.keys()].flatMap((i) => Array<number>(times[i] as number).fill(i));
      const expected = accuracyOf(
        Uint8Array.from(rows, (row) => places[row] as number),
        classes,
      );
      close(found.top1[resample] as number, expected.top1);
      close(found.top5?.[resample] as number, expected.top5 as number);
    }
    assert.equal(resampleAccuracy(places, 5, 'test', resampler).top5, undefined);
  });

  it('cover the true accuracy about as often as they say', () => {
    const trials = 300;
    let covered = 0;
    for (let trial = 0; trial < trials; trial++) {
      const places = Uint8Array.from(normals(`places ${trial}`, 200), (value) => (value < 0 ? 0 : 1));
      const { top1 } = resampleAccuracy(places, 3, 'test', new Resampler(trial, 200));
      const [low, high] = percentileInterval(top1, 0.9);
      if (low <= 0.5 && 0.5 <= high) covered++;
    }
    assert.ok(Math.abs(covered / trials - 0.9) < 0.052, `${covered} of ${trials}`);
  });
});
