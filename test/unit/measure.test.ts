import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BETTER, MEASURE_NAMES, measure, measureIntervals, Resampler } from '../../lib/metrics/index.js';
import type { ProgressEvent } from '../../lib/native/contract.js';
import { measureAll, type Scored } from '../../lib/run/measure.js';
import type { ResultRow } from '../../lib/run/types.js';

/** Numbers from 0 to 1 without an order to speak of. */
const scores = (count: number, factor: number, shift = 0) =>
  Float64Array.from({ length: count }, (_, i) => ((((i + 1) * factor) % 1) + shift) / (1 + shift));

/** Two detectors, two modes and their ensemble; 30 test images, OoD sets of 20 and 25. */
function scored(change: (detector: string, subset: number, set: number) => Float64Array | undefined = () => undefined) {
  const sizes = [30, 20, 25];
  return {
    in: 'shapes',
    out: ['near', 'far'],
    detectors: ['msp', 'energy'],
    subsets: [
      { kind: 'mode', members: ['a'], arch: 'r18' },
      { kind: 'mode', members: ['b'], arch: 'r18' },
      { kind: 'ensemble', members: ['a', 'b'], arch: 'r18' },
    ],
    scoresOf: (detector, subset, set) =>
      change(detector, subset, set) ??
      scores(sizes[set] as number, 0.618 + 0.1 * subset + (detector === 'msp' ? 0 : 0.037), set === 0 ? 0.4 : 0),
  } satisfies Scored;
}

const intervals = { resamples: 50, level: 0.9, seed: 8 };

describe('measureAll', () => {
  it('measures in the convention asked for, without intervals where none are', async () => {
    const given = scored();
    const found = await measureAll(given, { convention: 'knn' });
    assert.deepEqual(Object.keys(found).sort(), ['convention', 'rows', 'warnings']);
    assert.equal(found.convention, 'knn');
    assert.deepEqual(
      found.rows.map(({ out, detector, members }) => `${out} ${detector} ${members}`),
      ['near', 'far'].flatMap((out) =>
        ['msp', 'energy'].flatMap((detector) => ['a', 'b', 'a+b'].map((members) => `${out} ${detector} ${members}`)),
      ),
    );
    const { warnings: _, ...expected } = measure(given.scoresOf('energy', 2, 0), given.scoresOf('energy', 2, 2), {
      convention: 'knn',
    });
    const about = { in: 'shapes', out: 'far', arch: 'r18', detector: 'energy', kind: 'ensemble', members: 'a+b' };
    assert.deepEqual(found.rows.at(-1), { ...about, n_in: 30, n_out: 25, ...expected });
    assert.equal((await measureAll(given)).convention, 'reference');
  });

  it('gives each row the intervals of its pair of sets', async () => {
    const given = scored();
    const progress: ProgressEvent[] = [];
    const found = await measureAll(given, { intervals }, { onProgress: (event) => progress.push(event) });
    assert.deepEqual(found.intervals, intervals);
    // 2 OoD sets × 2 detectors × 3 subsets × 50 resamples.
    assert.deepEqual([progress.at(-1)?.phase, progress.at(-1)?.done, progress.at(-1)?.total], ['intervals', 600, 600]);
    for (const [index, row] of found.rows.entries()) {
      const set = row.out === 'near' ? 1 : 2;
      const resampler = new Resampler(intervals.seed, intervals.resamples);
      const options = { sets: { in: 'shapes', out: row.out }, resampler, level: intervals.level };
      const [a, b] = [0, set].map((place) => given.scoresOf(row.detector, index % 3, place)) as [
        Float64Array,
        Float64Array,
      ];
      const expected = measureIntervals(a, b, options);
      for (const name of MEASURE_NAMES) assert.deepEqual([row[`${name}_lo`], row[`${name}_hi`]], expected[name], name);
    }
  });

  it('pairs the ensemble with the mean and with the best of its modes', async () => {
    // The ensemble has the scores of mode b: its gain over b is exactly 0 in every resample.
    const given = scored();
    const found = await measureAll(
      { ...given, scoresOf: (detector, subset, set) => given.scoresOf(detector, Math.min(subset, 1), set) },
      { intervals },
    );
    assert.equal(found.gains?.length, 4);
    for (const gain of found.gains ?? []) {
      const [a, b] = found.rows.filter(({ out, detector }) => out === gain.out && detector === gain.detector) as [
        ResultRow,
        ResultRow,
      ];
      for (const name of MEASURE_NAMES) {
        const isBetter = BETTER[name] === 'lower' ? b[name] < a[name] : b[name] > a[name];
        if (isBetter) assert.deepEqual(gain.best[name], [0, 0], name);
        // Where a is the best mode, or both are the same, the gain over the mean is half of that over a.
        else
          for (const end of [0, 1] as const)
            assert.ok(Math.abs(gain.best[name][end] / 2 - gain.mean[name][end]) < 1e-12);
      }
    }
  });

  it('refuses scores of one set that differ in length', async () => {
    const short = scored((detector, subset, set) =>
      detector === 'energy' && subset === 1 && set === 2 ? new Float64Array(24) : undefined,
    );
    await assert.rejects(measureAll(short), {
      code: 'E_DATA',
      message:
        'The scores of far (energy, mode b) are of another number of images: expected 25 as for the first detector and mode, found 24.',
    });
  });

  it('names the image of a score that is not finite, tells tied scores and stops when asked', async () => {
    const nan = scored((_, subset, set) =>
      subset === 2 && set === 1 ? new Float64Array(20).fill(Number.NaN) : undefined,
    );
    await assert.rejects(measureAll(nan, { intervals }), {
      code: 'E_NUMERIC',
      message: /^Score 0 of near \(msp, ensemble a\+b\) is NaN/,
    });
    const tied = scored((_, __, set) => new Float64Array([30, 20, 25][set] as number));
    const logged: string[] = [];
    const found = await measureAll(tied, { intervals }, { onLog: ({ message }) => logged.push(message) });
    assert.equal(found.warnings.length, 12);
    assert.deepEqual(logged, found.warnings);
    assert.deepEqual([found.rows[0]?.auroc_lo, found.rows[0]?.auroc_hi], [0.5, 0.5]);
    const signal = AbortSignal.abort();
    await assert.rejects(measureAll(scored(), { intervals }, { signal }), { code: 'E_ABORTED' });
  });
});
