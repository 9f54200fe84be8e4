import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { FitGaussiansOptions, GaussianScoresOptions, ProgressEvent } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { failure, quiet } from '../helpers/native.js';
import {
  doubles,
  float16,
  float32,
  float64,
  int64,
  readTensors,
  type Tensor,
  writeTensors,
} from '../helpers/safetensors.js';

interface Case {
  name: string;
  members: number;
  rows: number;
  width: number;
  classes: number;
  half?: boolean;
  dead?: number;
  duplicate?: [number, number];
  offset?: number;
  rank: number;
  precisionTimesVector: number[];
  scores: number[];
  lastTrainScores: number[];
}

const { cases, queries } = JSON.parse(readFileSync('test/fixtures/gaussians.json', 'utf8')) as {
  cases: Case[];
  queries: number;
};
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-gaussians-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** As in make_gaussian_fixtures.py, number by number. */
function features(of: Case, rows: number, seed: number): Float32Array {
  const { width, classes, half, dead, duplicate, offset = 0 } = of;
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const out = new Float32Array(rows * width);
  for (let i = 0; i < rows; i++) {
    const common = next();
    for (let d = 0; d < width; d++) {
      const value = next() * (1 + (d % 5)) + common + (((i % classes) * (d + 3)) % 7) + offset;
      out[i * width + d] = half ? Math.floor(value * 64) / 64 : value;
    }
    if (dead !== undefined) out[i * width + dead] = 0;
    if (duplicate) out[i * width + duplicate[1]] = out[i * width + duplicate[0]] as number;
  }
  return out;
}

function write(name: string, tensors: Record<string, Tensor>): string {
  const path = join(folder, name);
  writeTensors(path, tensors);
  return path;
}

/** A feature file for each member, with one stage. */
function members(of: Case, name: string, rows: number, seed: number): string[] {
  return Array.from({ length: of.members }, (_, m) => {
    const values = features(of, rows, seed + m);
    const stage1 = of.half ? float16([rows, of.width], values) : float32([rows, of.width], values);
    const labels = int64(Array.from({ length: rows }, (__, i) => i % of.classes));
    return write(`${of.name}-${name}-${m}`, { labels, stage1 });
  });
}

function assertClose(found: ArrayLike<number>, expected: readonly number[], bound: number, what: string): void {
  assert.equal(found.length, expected.length, what);
  for (const [i, value] of expected.entries()) {
    const error = Math.abs((found[i] as number) - value);
    assert.ok(error <= bound, `${what} ${i}: ${found[i]}, expected ${value}`);
  }
}

const largest = (values: readonly number[]) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

const fit = (options: Partial<FitGaussiansOptions> & { train: string[] }) =>
  getAddon().fitGaussians(
    { stages: ['stage1'], classes: 3, output: join(folder, 'statistics'), metadata: {}, threads: 2, ...options },
    quiet,
  );
const score = (options: Partial<GaussianScoresOptions>) =>
  getAddon().gaussianScores(
    { statistics: join(folder, 'statistics'), sets: [], stages: ['stage1'], threads: 2, ...options },
    quiet,
  );

describe('Gaussians against EmpiricalCovariance of scikit-learn, in float64', () => {
  for (const of of cases) {
    it(`${of.name}: rank, precision within 1e-9 of its largest product, scores within 1e-9`, async () => {
      const { width, classes } = of;
      const train = members(of, 'train', of.rows, 1000);
      const statistics = join(folder, `${of.name}-statistics`);
      const { stages } = await fit({ train, classes, output: statistics, metadata: { of: of.name } }).done;
      assert.deepEqual(
        stages.map(({ stage, width, rank }) => [stage, width, rank]),
        [['stage1', width, of.rank]],
      );
      const { tensors, file } = readTensors(statistics);
      assert.match(file.toString('latin1'), new RegExp(`"__metadata__":{"of":"${of.name}"}`));
      assert.deepEqual(tensors.get('stage1.means')?.shape, [classes, width]);
      assert.deepEqual(tensors.get('stage1.whitening')?.shape, [of.rank, width]);

      const whitening = doubles(tensors.get('stage1.whitening') as Tensor);
      const product = new Float64Array(width);
      for (let r = 0; r < of.rank; r++) {
        const row = whitening.subarray(r * width, (r + 1) * width);
        const along = row.reduce((sum, value, d) => sum + value * (((3 * d) % 5) - 1.5), 0);
        for (const [d, value] of row.entries()) product[d] = (product[d] as number) + value * along;
      }
      assertClose(product, of.precisionTimesVector, 1e-9 * largest(of.precisionTimesVector), 'precision, row');

      const sets = [members(of, 'queries', queries, 2000), train];
      const { scores } = await score({ statistics, sets }).done;
      const [found, own] = scores as [Float64Array, Float64Array];
      for (const [i, value] of of.scores.entries()) {
        assertClose([found[i] as number], [value], 1e-9 * Math.abs(value) + 1e-12, `query ${i}, score`);
      }
      assert.equal(own.length, of.rows);
      for (const [i, value] of of.lastTrainScores.entries()) {
        assertClose([own.at(i - 5) as number], [value], 1e-9 * Math.abs(value) + 1e-12, `training row ${i - 5}, score`);
      }
    });
  }

  it('a condition is the largest by the smallest eigenvalue, without those that count as 0', async () => {
    // One class; the covariance is diag(4, 1, 0).
    const rows = [2, 1, 5, -2, 1, 5, 2, -1, 5, -2, -1, 5];
    const train = [
      write('diagonal', { labels: int64([0, 0, 0, 0]), stage1: float32([4, 3], Float32Array.from(rows)) }),
    ];
    const { stages } = await fit({ train, classes: 1 }).done;
    assert.deepEqual(stages, [{ stage: 'stage1', width: 3, rank: 2, condition: 4 }]);
  });

  it('stages stand side by side in the scores, and their statistics apart', async () => {
    const [a, b] = [cases[0] as Case, { ...(cases[0] as Case), width: 7 }];
    const labels = int64(Array.from({ length: 90 }, (_, i) => i % a.classes));
    const path = write('two', {
      labels,
      stage1: float32([90, a.width], features(a, 90, 1)),
      stage2: float32([90, b.width], features(b, 90, 2)),
    });
    const statistics = join(folder, 'two-statistics');
    const both = { train: [path], stages: ['stage1', 'stage2'], classes: a.classes, output: statistics };
    const { stages } = await fit(both).done;
    assert.deepEqual(
      stages.map(({ stage, width }) => [stage, width]),
      [
        ['stage1', a.width],
        ['stage2', b.width],
      ],
    );
    const scores = async (names: string[]) =>
      (await score({ statistics, sets: [[path]], stages: names }).done).scores[0] as Float64Array;
    const [first, second, joined, turned] = [
      await scores(['stage1']),
      await scores(['stage2']),
      await scores(['stage1', 'stage2']),
      await scores(['stage2', 'stage1']),
    ];
    const pairs = (left: Float64Array, right: Float64Array) => [...left].flatMap((value, i) => [value, right[i]]);
    assert.deepEqual([...joined], pairs(first, second));
    assert.deepEqual([...turned], pairs(second, first));
  });

  it('distances are exact where means lie far from the origin and features near a mean', async () => {
    // At 2^13 with deviations of 1/128: without centring, 12 of 16 digits would cancel.
    const values = [0, 1, 2, 3].flatMap((i) => [i % 2, i >> 1].map((bit) => 2 ** 13 + bit / 64));
    const train = [write('far', { labels: int64([0, 0, 0, 0]), stage1: float32([4, 2], Float32Array.from(values)) })];
    const query = [2 ** 13 + 1 / 16, 2 ** 13 + 1 / 128];
    const set = [write('far-query', { stage1: float32([1, 2], Float32Array.from(query)) })];
    await fit({ train, classes: 1 }).done;
    // Variance 1/128² in each direction; the mean is 1/128 past 2^13: (8 − 1)² and 0.
    const { scores } = await score({ sets: [set] }).done;
    assertClose(scores[0] as Float64Array, [-24.5], 1e-9 * 24.5, 'score');
  });
});

describe('Gaussians refuse', () => {
  const usual = { name: 'usual', members: 1, rows: 30, width: 4, classes: 3 } as Case;
  const changed = (name: string, rows: number, change: (values: Float32Array) => void, labels?: number[]) => {
    const values = features({ ...usual, members: 1 }, rows, 5);
    change(values);
    return write(name, {
      labels: int64(labels ?? Array.from({ length: rows }, (_, i) => i % 3)),
      stage1: float32([rows, 4], values),
    });
  };
  const good = changed('good', 30, () => {});

  it('a class without training images, naming it', async () => {
    const path = changed(
      'no-class',
      30,
      () => {},
      Array.from({ length: 30 }, (_, i) => [0, 2, 5][i % 3] as number),
    );
    const error = await failure(fit({ train: [path], classes: 6 }));
    assert.equal(error.code, 'E_DATA');
    assert.equal(error.message, `${path}: expected training images of each of 6 classes, found none of class 1, 3, 4.`);
    const many = await failure(fit({ train: [path], classes: 100 }));
    assert.match(many.message, /found none of class 1, 3, 4, 6, 7, 8, 9, 10, 11, 12 and 87 more\.$/);
  });

  it('NaN and infinity, naming file, tensor and the first row', async () => {
    for (const [bad, value] of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].entries()) {
      const path = changed(`bad-${bad}`, 20_000, (values) => {
        values[4 * 12_345 + 2] = value;
        values[4 * 19_999] = value;
      });
      const message = `${path}: "stage1": expected finite numbers, found NaN or infinity in row 12345.`;
      const [fitted, scored] = [await failure(fit({ train: [path] })), await failAfterFit({ sets: [[path]] })];
      for (const error of [fitted, scored]) {
        assert.equal(error.code, 'E_NUMERIC');
        assert.equal(error.message, message);
      }
    }
    assert.ok(!readdirSync(folder).some((name) => name.includes('.tmp-')));
  });

  const failAfterFit = async (options: Partial<GaussianScoresOptions>) => {
    await fit({ train: [good] }).done;
    return failure(score(options));
  };

  it('labels and files that do not fit each other', async () => {
    const refuses = async (options: Partial<FitGaussiansOptions>, message: RegExp) => {
      const error = await failure(fit({ train: [good], ...options }));
      assert.equal(error.code, 'E_DATA');
      assert.match(error.message, message);
    };
    await refuses({ classes: 2 }, /good: "labels": expected classes from 0 to 1, found 2 in row 2\.$/);
    await refuses(
      { stages: ['stage9'] },
      /good: expected a float32 or float16 tensor \[N, D\] "stage9", found none\.$/,
    );
    await refuses(
      { train: [good, changed('longer', 31, () => {})] },
      /longer: expected the first member's shape \[30, 4\] for "stage1", found F32 \[31, 4\]\.$/,
    );
    const short = write('short', { labels: int64([0, 1]), stage1: float32([3, 1], new Float32Array(3)) });
    await refuses({ train: [short], classes: 2 }, /short: expected 2 rows in "stage1", as many as labels, found 3\.$/);
    const without = write('without', { stage1: float32([3, 1], new Float32Array(3)) });
    await refuses({ train: [without] }, /without: expected an int64 tensor \[N\] "labels", found none\.$/);
    const wide = write('wide', { labels: int64([0]), stage1: float64([1, 2], Float64Array.of(1, 2)) });
    await refuses(
      { train: [wide], classes: 1 },
      /expected a float32 or float16 tensor \[N, D\] "stage1", found F64 \[1, 2\]/,
    );
    const hollow = write('hollow', { labels: int64([0]), stage1: float32([1, 0], new Float32Array(0)) });
    await refuses({ train: [hollow], classes: 1 }, /"stage1", found F32 \[1, 0\]\.$/);
    const cut = join(folder, 'cut');
    writeFileSync(cut, readFileSync(good).subarray(0, 200));
    await refuses({ train: [cut] }, /cut: byte 200: expected \d+ bytes or more as its header says, found 200\.$/);
    assert.equal((await failure(fit({ train: ['/nowhere'] }))).code, 'E_IO');
    assert.equal((await failure(fit({ train: [good], output: '/nowhere/x' }))).code, 'E_IO');
  });

  it('options that are missing or wrong, naming the field', async () => {
    const refuses = async (options: object, message: string) => {
      const error = await failure(fit({ train: [good], ...options }));
      assert.equal(error.code, 'E_CONFIG');
      assert.equal(error.message, message);
    };
    await refuses({ train: [] }, 'train: expected a feature file a member, found none.');
    await refuses({ stages: [] }, 'stages: expected at least one tensor, found none.');
    await refuses({ stages: ['stage1', 'stage1'] }, 'stages: expected each tensor once, found "stage1" twice.');
    await refuses({ threads: 0 }, 'threads: expected 1 to 4096, found 0.');
    const throws = (options: object, message: string) =>
      assert.throws(() => fit({ train: [good], ...options }), { code: 'E_CONFIG', message });
    throws({ classes: 0 }, 'classes: expected at least 1, found 0.');
    throws({ train: [1] }, 'train: expected a list of strings, found a number.');
    throws({ output: undefined }, 'output: expected a string, found undefined.');
    throws({ metadata: { a: 1 } }, 'metadata.a: expected a string, found a number.');
    assert.throws(() => score({ sets: ['x'] as never }), {
      message: 'sets[0]: expected a list of strings, found a string.',
    });
    assert.throws(() => score({ statistics: 1 as never }), {
      message: 'statistics: expected a string, found a number.',
    });
  });

  it('sets that are not of the statistics', async () => {
    const refuses = async (options: Partial<GaussianScoresOptions>, code: string, message: RegExp) => {
      const error = await failAfterFit({ sets: [[good]], ...options });
      assert.equal(error.code, code);
      assert.match(error.message, message);
    };
    const narrow = write('narrow', { stage1: float32([2, 3], new Float32Array(6)) });
    await refuses({ stages: [] }, 'E_CONFIG', /^stages: expected at least one tensor/);
    await refuses({ sets: [[good], [good, good]] }, 'E_CONFIG', /^sets: expected as many .* found 1 and 2\.$/);
    await refuses({ stages: ['stage2'] }, 'E_DATA', /expected the statistics of "stage2", found those of stage1\.$/);
    await refuses({ sets: [[narrow]] }, 'E_DATA', /narrow: expected "stage1" of width 4 as in .*, found 3\.$/);
    const empty = write('none', { stage1: float32([0, 4], new Float32Array(0)) });
    await fit({ train: [good] }).done;
    assert.deepEqual(await score({ sets: [[empty], []].slice(0, 1) }).done, { scores: [new Float64Array(0)] });
  });

  it('statistics that are damaged or made up', async () => {
    const matrix = (...shape: [number, number]) => float64(shape, new Float64Array(shape[0] * shape[1]));
    const refuses = async (name: string, tensors: Record<string, Tensor>, message: RegExp) => {
      const statistics = write(name, tensors);
      const error = await failure(score({ statistics, sets: [[good]] }));
      assert.equal(error.code, 'E_DATA');
      assert.ok(error.message.startsWith(`${statistics}: `), error.message);
      assert.match(error.message, message);
    };
    await refuses('s0', { labels: int64([1]) }, /expected the statistics of stages, found none\.$/);
    await refuses('s1', { 'stage1.means': matrix(3, 4) }, /expected a tensor "stage1\.whitening"\.$/);
    const shapes: [[number, number], [number, number]][] = [
      [
        [3, 4],
        [5, 4],
      ],
      [
        [3, 4],
        [4, 3],
      ],
      [
        [0, 4],
        [4, 4],
      ],
      [
        [3, 0],
        [0, 0],
      ],
    ];
    for (const [means, whitening] of shapes) {
      const tensors = { 'stage1.means': matrix(...means), 'stage1.whitening': matrix(...whitening) };
      await refuses('s2', tensors, /expected means \[C, D\] and a whitening \[r, D\] with r up to D, found \[/);
    }
    const single = { 'stage1.means': float32([1, 4], new Float32Array(4)), 'stage1.whitening': matrix(4, 4) };
    await refuses('s3', single, /"stage1\.means": expected a float64 matrix, found F32 with 2 dimensions\.$/);
    const infinite = {
      'stage1.means': matrix(3, 4),
      'stage1.whitening': float64([1, 4], Float64Array.of(1, 1 / 0, 1, 1)),
    };
    await refuses('s4', infinite, /"stage1\.whitening": expected finite numbers, found NaN or infinity\.$/);
    assert.equal((await failure(score({ statistics: join(folder, 'absent'), sets: [] }))).code, 'E_IO');
  });
});

describe('Gaussian jobs', () => {
  it('stop within a second when asked, and leave no file', async () => {
    const [rows, width] = [30_000, 256];
    const path = write('large', {
      labels: int64(Array.from({ length: rows }, (_, i) => i % 10)),
      stage1: float32(
        [rows, width],
        Float32Array.from({ length: rows * width }, (_, i) => (i * 7919) % 1009),
      ),
    });
    const output = join(folder, 'stopped');
    const events: ProgressEvent[] = [];
    const options = { train: Array(20).fill(path), stages: ['stage1'], classes: 10, output, metadata: {}, threads: 2 };
    let asked = 0;
    const job = getAddon().fitGaussians(options, (event) => {
      if (event.type !== 'progress') return;
      events.push(event);
      if (event.phase === 'covariance' && asked === 0) {
        asked = performance.now();
        job.abort();
      }
    });
    assert.equal((await failure(job)).code, 'E_ABORTED');
    assert.ok(asked > 0 && performance.now() - asked < 1000, `${performance.now() - asked} ms`);
    assert.deepEqual([...new Set(events.map(({ phase }) => phase))], ['means', 'covariance']);
    assert.ok(events.every(({ done, total }) => done <= total && total === rows));
    assert.ok(!readdirSync(folder).some((name) => name.startsWith('stopped')));
  });

  it('give the same bytes again', async () => {
    const train = members(cases[1] as Case, 'again', 200, 9);
    const bytes = async (name: string) => {
      await fit({ train, classes: 5, output: join(folder, name), metadata: { b: '2', a: '1' } }).done;
      return readFileSync(join(folder, name));
    };
    assert.ok((await bytes('first')).equals(await bytes('second')));
  });
});
