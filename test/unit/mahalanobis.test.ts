import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Json } from '../../lib/config/canonical.js';
import {
  type Adversarial,
  getDetector,
  type Networks,
  resolveParameters,
  type ScoreContext,
  type SetDetector,
  type StageScoresRequest,
  type TuningRecord,
} from '../../lib/detectors/index.js';
import { fitRegression } from '../../lib/detectors/mahalanobis.js';
import { type FeatureFile, FeatureStore } from '../../lib/features/index.js';
import {
  keptTuning,
  keptTuningPath,
  readTuning,
  tuningFor,
  tuningKey,
  writeTuning,
} from '../../lib/run/tuning-file.js';

const folder = mkdtempSync(join(tmpdir(), 'mahalanobis-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const mahalanobis = getDetector('mahalanobis') as SetDetector;

const SOURCE: Record<string, Json> = {
  weights: ['aa', 'bb'],
  arch: { name: 'x', width: 8 },
  step: 0.05,
  clamp: 'normalized',
};

function record(change: Partial<TuningRecord> = {}): TuningRecord {
  const fit = { fpr95: 0.5, auroc: 0.75, c: 1, converged: true };
  const source = change.source ?? SOURCE;
  return {
    key: tuningKey(source),
    source,
    members: ['a', 'b'],
    images: [500, 500],
    magnitudes: [
      { ...fit, magnitude: 0, coefficients: [1, 0], intercept: 0 },
      { ...fit, magnitude: 0.01, coefficients: [0, 2], intercept: -1, fpr95: 0.25 },
    ],
    best: 0.01,
    ...change,
  };
}

interface Asked extends Networks {
  requests: StageScoresRequest[];
  told: [string, string][];
  wanted: Adversarial[];
  /** Whether networks were held at each of the requests, and in the end. */
  held: boolean[];
}

/** Two stages. The scores of test images are row + magnitude and 2·row; of adversarial copies −5 − row and −row. */
function networks(images: number, tuned?: TuningRecord): Asked {
  const requests: StageScoresRequest[] = [];
  const told: [string, string][] = [];
  const wanted: Adversarial[] = [];
  const held: boolean[] = [];
  let holders = 0;
  const table = (rows: number, of: (row: number) => number[]) =>
    Float64Array.from(Array.from({ length: rows }, (_, row) => of(row)).flat());
  return {
    requests,
    told,
    wanted,
    get held() {
      return [...held, holders > 0];
    },
    hold: () => {
      holders += 1;
      return { [Symbol.dispose]: () => void (holders -= 1) };
    },
    tell: (level, message) => told.push([level, message]),
    count: () => images,
    gaussians: async (members) => ({ path: 'gaussians', key: 'ab', members, stages: ['stage1', 'stage2'] }),
    storedScores: async (_gaussians, sets) =>
      sets.map((files) => table((files[0] as FeatureFile).count, (row) => [row, 2 * row])),
    stageScores: async (request) => {
      requests.push(request);
      held.push(holders > 0);
      const rows = request.count === 0 ? 3 : request.count;
      return request.magnitudes.map((magnitude) =>
        table(rows, (row) => (request.adversarial ? [-5 - row, -row] : [row + magnitude, 2 * row])),
      );
    },
    tuning: async (_members, adversarial) => {
      wanted.push(adversarial);
      return tuned;
    },
    tuningSource: () => SOURCE,
  };
}

function score(service: Networks | undefined, given = {}, suite?: string, change: Partial<ScoreContext> = {}) {
  const files = [{ path: 'test', count: 3 } as FeatureFile];
  return mahalanobis.scoreSets({
    members: ['a', 'b'],
    sets: [{ name: 'test', count: 3, files }],
    train: files,
    parameters: resolveParameters(mahalanobis, given, suite),
    threads: 1,
    hooks: {},
    services: { neighbours: () => assert.fail('no neighbour search expected'), networks: service },
    ...change,
  });
}

const minusSigmoid = (z: number) => -1 / (1 + Math.exp(-z));
const close = (found: Float64Array | undefined, expected: number[]) => {
  assert.equal(found?.length, expected.length);
  for (const [i, value] of expected.entries()) assert.ok(Math.abs((found?.[i] as number) - value) < 1e-12, `${found}`);
};

describe('the Mahalanobis detector', () => {
  it("takes the suite's step, and what else stands for a magnitude", () => {
    assert.deepEqual(resolveParameters(mahalanobis), { magnitude: 'tuned', step: 0.05, clamp: 'normalized' });
    assert.equal(resolveParameters(mahalanobis, {}, 'imagenet').step, 0.001);
    assert.throws(() => resolveParameters(mahalanobis, { magnitude: -1 }), {
      code: 'E_CONFIG',
      message: 'Detector mahalanobis, magnitude: expected a number at least 0 or tuned, found -1.',
    });
    assert.throws(
      () => resolveParameters(mahalanobis, { clamp: 'all' }),
      /expected pixels or normalized or none, found all/,
    );
  });

  it('scores by the magnitude and the regression that were tuned for the modes', async () => {
    const service = networks(1000, record());
    const [found] = await score(service);
    // Coefficients 0, 2, intercept −1 of [row + 0.01, 2·row].
    close(found, [minusSigmoid(-1), minusSigmoid(3), minusSigmoid(7)]);
    assert.deepEqual(
      service.requests.map(({ set, first, count, magnitudes, adversarial }) => ({
        ...{ set, first, count, magnitudes, adversarial },
      })),
      [{ set: 'test', first: 0, count: 0, magnitudes: [0.01], adversarial: null }],
    );
    assert.deepEqual(service.told, []);
    assert.deepEqual(service.wanted, [{ step: 0.05, clamp: 'normalized' }]);
  });

  it('reads stored features alone at magnitude 0, with the regression that was tuned for it', async () => {
    const service = networks(1000, record());
    const [found] = await score(service, { magnitude: 0 });
    close(found, [minusSigmoid(0), minusSigmoid(1), minusSigmoid(2)]);
    assert.deepEqual(service.requests, []);
  });

  it('fits the regression itself where nothing was tuned, and says so', async () => {
    const service = networks(40);
    const [found] = await score(service, { clamp: 'pixels', step: 0.1 });
    const adversarial = { step: 0.1, clamp: 'pixels' };
    assert.deepEqual(
      service.requests.map(({ first, count, magnitudes, adversarial: of }) => [first, count, magnitudes, of]),
      [
        [0, 20, [0], null],
        [0, 20, [0], adversarial],
      ],
    );
    assert.match(
      service.told.map(([level, text]) => `${level}: ${text}`).join('\n'),
      /warning: .* takes halves of 20\.\ninfo: .*no parameters tuned for these modes at magnitude 0 are known/,
    );
    const clean = Float64Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? i / 2 : i - 1));
    const copies = Float64Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? -5 - i / 2 : -(i - 1) / 2));
    const { coefficients, intercept } = fitRegression(clean, copies, 2);
    const [a = 0, b = 0] = coefficients;
    close(
      found,
      [0, 1, 2].map((row) => minusSigmoid(a * row + 2 * b * row + intercept)),
    );
    assert.ok((found?.[2] as number) > (found?.[0] as number), 'images far from the copies are more in-distribution');
  });

  it('fits a magnitude that the record does not have', async () => {
    const service = networks(1000, record());
    await score(service, { magnitude: 0.5 });
    assert.deepEqual(
      service.requests.map(({ count, magnitudes, adversarial }) => [count, magnitudes, adversarial !== null]),
      [
        [500, [0.5], false],
        [500, [0.5], true],
        [0, [0.5], false],
      ],
    );
    assert.match(service.told[0]?.[1] ?? '', /at magnitude 0\.5 are known.*500 test images/);
  });

  it('refuses what it cannot do, in one sentence', async () => {
    await assert.rejects(score(undefined), {
      code: 'E_CONFIG',
      message: /needs the networks themselves.*found feature files alone/,
    });
    await assert.rejects(score(networks(9)), {
      code: 'E_DATA',
      message: /expected at least 10 test images, found 9 in test/,
    });
    const three = record();
    for (const fit of three.magnitudes) fit.coefficients = [1, 2, 3];
    await assert.rejects(score(networks(1000, three)), {
      code: 'E_DATA',
      message: /expected 2 coefficients, one a stage, found 3/,
    });
    const files = [{ path: 'test', count: 4 } as FeatureFile];
    await assert.rejects(
      score(networks(1000, record()), {}, undefined, { sets: [{ name: 'test', count: 4, files }] }),
      { code: 'E_DATA', message: 'mahalanobis: expected 4 scores of test, found 3.' },
    );
  });

  it('holds the networks from set to set, and no longer', async () => {
    const service = networks(1000);
    await score(service, { magnitude: 0.01 });
    assert.deepEqual(service.held, [true, true, true, false]);
    service.stageScores = () => Promise.reject(new Error('no'));
    await assert.rejects(score(service, { magnitude: 0.01 }), /no/);
    assert.equal(service.held.at(-1), false);
  });

  it('tells the progress of all its jobs as that of one', async () => {
    const service = networks(1000, record());
    const seen: number[][] = [];
    service.gaussians = async (members, _train, hooks) => {
      hooks.onProgress?.({ type: 'progress', phase: 'means', done: 5, total: 10, rate: 1 });
      return { path: '', key: '', members, stages: ['stage1', 'stage2'] };
    };
    const { stageScores } = service;
    service.stageScores = (request, hooks) => {
      hooks.onProgress?.({ type: 'progress', phase: 'perturb', done: 3, total: 3, rate: 1 });
      return stageScores(request, hooks);
    };
    await score(service, {}, undefined, { hooks: { onProgress: ({ done, total }) => seen.push([done, total]) } });
    assert.deepEqual(seen, [
      [500, 2000],
      [2000, 2000],
    ]);
  });
});

describe('tuned parameters on disk', () => {
  const path = join(folder, 'tuned.json');
  const write = (change: (file: Record<string, unknown>) => unknown) => {
    const file = { format: 'mode-ensemble mahalanobis tuning', version: 1, records: [record()] };
    const text = change(file as never);
    writeFileSync(path, typeof text === 'string' ? text : JSON.stringify(file));
  };

  it('come back as they were', async () => {
    const records = [record(), record({ source: { ...SOURCE, weights: ['cc'] }, members: ['c'] })];
    await writeTuning(path, records);
    assert.deepEqual(await readTuning(path), records);
    assert.deepEqual(tuningFor(await readTuning(path), { ...SOURCE, weights: ['cc'] }, ['c'], path), records[1]);
  });

  it('are refused for other modes, with the names of both', () => {
    const refused = (source: Record<string, Json>, members: string[], message: string) =>
      assert.throws(() => tuningFor([record()], source, members, '--tuned: tuned.json'), { code: 'E_CONFIG', message });
    const other = { ...SOURCE, weights: ['aa', 'cc'] };
    refused(other, ['a', 'c'], '--tuned: tuned.json holds parameters tuned for a+b, not for a+c');
    refused(other, ['a', 'b'], '--tuned: tuned.json holds parameters tuned for a+b with other weights, not for a+b');
    refused(
      { ...SOURCE, step: 0.001 },
      ['a', 'b'],
      '--tuned: tuned.json holds parameters of a+b that were tuned for something else: step was 0.05 there and is 0.001 here',
    );
    refused(
      { ...SOURCE, arch: { name: 'x', width: 16 } },
      ['a', 'b'],
      '--tuned: tuned.json holds parameters of a+b that were tuned for something else: arch.width was 8 there and is 16 here',
    );
  });

  it('are refused where the file is damaged, naming the field', async () => {
    const cases: [(file: Record<string, never>) => unknown, RegExp][] = [
      [() => '{"format": ', /tuned: .*tuned\.json is no JSON/],
      [() => '[]', /expected a file of tuned parameters, found an empty list/],
      [(file) => Object.assign(file, { version: 2 }), /version: expected version 1, found 2/],
      [
        (file) => Object.assign(file, { format: 'other' }),
        /format: expected "mode-ensemble mahalanobis tuning", found "other"/,
      ],
      [(file) => Object.assign(file, { records: [] }), /records: expected at least one record/],
      [
        (file) => Object.assign(file, { records: [{ ...record(), best: 7 }] }),
        /records\[0\]\.best: expected one of the magnitudes, found 7/,
      ],
      [
        (file) => Object.assign(file, { records: [{ ...record(), key: 'ab'.repeat(32) }] }),
        /records\[0\]\.key: expected the key of the source/,
      ],
      [
        (file) => {
          const bad = record();
          Object.assign(bad.magnitudes[1] as object, { intercept: 'much' });
          return Object.assign(file, { records: [bad] });
        },
        /records\[0\]\.magnitudes\[1\]\.intercept: expected a number, found "much"/,
      ],
      [(file) => Object.assign(file, { more: 1 }), /more: unknown key/],
    ];
    for (const [change, message] of cases) {
      write(change as never);
      await assert.rejects(readTuning(path), (error: Error & { code: string }) => {
        assert.match(error.message, message);
        assert.equal(error.code, 'E_CONFIG');
        return true;
      });
    }
    write(
      () =>
        `{"format":"mode-ensemble mahalanobis tuning","version":1,"records":[{"source":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}}]}`,
    );
    await assert.rejects(readTuning(path), { code: 'E_CONFIG' });
    await assert.rejects(readTuning(join(folder, 'none.json')), { code: 'E_IO', message: /none\.json cannot be read/ });
  });

  it('are found in the store by their key; what is stale or damaged there is passed over', async () => {
    const store = new FeatureStore(folder);
    const { key } = record();
    const told: string[] = [];
    const tell = (reason: string) => told.push(reason);
    assert.equal(await keptTuning(store, key, tell), undefined);
    assert.deepEqual(told, []);
    const place = keptTuningPath(store, key);
    await writeTuning(place, [record()]);
    assert.deepEqual(await keptTuning(store, key, tell), record());
    await writeTuning(place, [record({ source: { ...SOURCE, step: 1 } })]);
    assert.equal(await keptTuning(store, key, tell), undefined);
    assert.match(told[0] ?? '', /holds the parameters of a\+b under another key/);
    writeFileSync(place, readFileSync(place, 'utf8').slice(0, 100));
    assert.equal(await keptTuning(store, key, tell), undefined);
    assert.match(told[1] ?? '', /is no JSON/);
  });
});
