/** Ensembles of modes of other architectures or class counts, other fusions, and a detector with several parameters. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Services } from '../../lib/detectors/index.js';
import { formatTables, renderReport } from '../../lib/report/index.js';
import { evaluate } from '../../lib/run/evaluate.js';
import { chooseDetectors } from '../../lib/run/experiment.js';
import { resultsCsv, resultsJson, writeScores } from '../../lib/run/results.js';
import type { EvaluationInput } from '../../lib/run/types.js';
import { featureFiles } from '../helpers/features.js';
import { still } from '../helpers/page.js';

const folder = mkdtempSync(join(tmpdir(), 'evaluate-mixed-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const feature = featureFiles(folder);

const noNeighbours: Services = { neighbours: () => assert.fail('no neighbour search expected') };
const sigmoid = (gap: number) => 1 / (1 + Math.exp(-gap));
const gaps = (values: number[]) => values.map((gap) => [gap, 0]);

/** Two modes of two classes and of architectures x and y; c is of y too and of three classes, the third impossible. */
function input(names: string, change: Partial<EvaluationInput> = {}): EvaluationInput {
  const labels = [0, 1, 0];
  const mode = (name: string, arch: string, test: number[][], near: number[][]) => ({
    ...{ name, arch },
    train: feature(`${name}-train`, test, labels),
    test: feature(`${name}-test`, test, labels),
    out: { near: feature(`${name}-near`, near, [0, 0]) },
  });
  const third = (rows: number[][]) => rows.map((row) => [...row, -1000]);
  const all = [
    mode('a', 'x', gaps([2, -1, 3]), gaps([0, 1.5])),
    mode('b', 'y', gaps([1, -2, 4]), gaps([0.5, 3])),
    mode('c', 'y', third(gaps([1, 2, 4])), third(gaps([0.5, 3]))),
  ];
  return {
    in: 'shapes',
    members: all.filter(({ name }) => names.includes(name)),
    ensembles: [[...names]],
    detectors: [{ name: 'msp', parameters: {} }],
    threads: 1,
    ...change,
  };
}

describe('modes of two architectures', () => {
  it('meet in their logits, and each row names its own', async () => {
    const { rows, arch, accuracy } = await evaluate(input('ab'), {}, noNeighbours);
    assert.deepEqual(
      rows.map((row) => [row.members, row.arch]),
      [
        ['a', 'x'],
        ['b', 'y'],
        ['a+b', 'x+y'],
      ],
    );
    assert.equal(arch, 'x+y');
    assert.deepEqual(
      accuracy.map(({ members, top1 }) => [members, top1]),
      [
        ['a', 1],
        ['b', 1],
        ['a+b', 1],
      ],
    );
  });

  it('do not meet in their features', async () => {
    const detectors = [{ name: 'knn', parameters: { k: 1 } }];
    await assert.rejects(evaluate(input('ab', { detectors }), {}, noNeighbours), {
      code: 'E_CONFIG',
      message:
        'knn averages features, which modes of different architectures (x, y) do not have in common: for ensemble a+b take detectors on logits, or the fusion "scores"',
    });
  });

  it('but their scores on features do', async () => {
    const banks: string[][] = [];
    const services: Services = {
      neighbours: ({ bank }) => {
        banks.push(bank);
        // a: 1 2 3 against 4 2; b: 10 30 20 against 50 60.
        const distances =
          banks.length === 1
            ? [Float32Array.of(1, 2, 3), Float32Array.of(4, 2)]
            : [Float32Array.of(10, 30, 20), Float32Array.of(50, 60)];
        return { done: Promise.resolve({ distances }), abort() {} };
      },
    };
    const detectors = [{ name: 'knn', parameters: { k: 1 } }];
    const found = await evaluate(input('ab', { detectors, fusion: 'scores' }), {}, services);
    assert.equal(banks.length, 2);
    assert.ok(banks.every(({ length }) => length === 1));
    const ensemble = found.scores.find(({ members }) => members.length === 2);
    assert.deepEqual(ensemble?.in, Float64Array.of(-5.5, -16, -11.5));
    assert.deepEqual(ensemble?.out.near, Float64Array.of(-27, -31));
    assert.equal(found.rows.at(-1)?.auroc, 1);
  });
});

describe('modes of two and of three classes', () => {
  it('have no logits in common', async () => {
    await assert.rejects(evaluate(input('abc'), {}, noNeighbours), {
      code: 'E_CONFIG',
      message:
        'msp averages logits, which modes of 2 and 3 classes do not have in common: for ensemble a+b+c take the fusion "scores" or "standardised"',
    });
  });

  it('may stand beside each other, and in ensembles of their own', async () => {
    const { rows, accuracy } = await evaluate(input('abc', { ensembles: [['a', 'b']] }), {}, noNeighbours);
    assert.deepEqual([...new Set(rows.map(({ members }) => members))], ['a', 'b', 'c', 'a+b']);
    assert.deepEqual(
      accuracy.map(({ members }) => members),
      ['a', 'b', 'a+b'],
    );
  });

  it('are averaged in their scores; what has other classes than the labels has no accuracy', async () => {
    const given = input('abc', {
      fusion: 'scores',
      ensembles: [
        ['a', 'c'],
        ['b', 'c'],
        ['a', 'b'],
      ],
    });
    const { accuracy, scores } = await evaluate(given, {}, noNeighbours);
    assert.deepEqual(
      accuracy.map(({ members }) => members),
      ['a', 'b', 'a+b'],
    );
    const found = scores.find(({ members }) => members.join() === 'a,c');
    const msp = (gap: number) => sigmoid(Math.abs(gap));
    const mean = (first: number[], second: number[]) =>
      first.map((gap, i) => (msp(gap) + msp(second[i] as number)) / 2);
    assert.deepEqual([...(found?.in ?? [])], mean([2, -1, 3], [1, 2, 4]));
    assert.deepEqual([...(found?.out.near ?? [])], mean([0, 1.5], [0.5, 3]));
  });

  it('are read where none has the labels’ classes: tables and report do without accuracy', async () => {
    const found = await evaluate(input('ab', { classes: 5 }), {}, noNeighbours);
    assert.deepEqual(found.accuracy, []);
    const text = formatTables(found);
    assert.match(text, /^MSP, FPR95 % +a +b +mean ± std +ensemble of 2 +over mean +over best\n/);
    const page = still(await renderReport({ evaluation: found, title: 't', settings: {}, environment: {} }));
    assert.doesNotMatch(page, /NaN|undefined|Accuracy|accuracy/);
    assert.match(page, /2 modes of x\+y and their ensemble, measured on shapes/);
  });
});

describe('fusions', () => {
  const ensembleOf = async (fusion: EvaluationInput['fusion']) => {
    const found = await evaluate(input('ab', { fusion }), {}, noNeighbours);
    assert.equal(found.fusion, fusion);
    return found.scores.at(-1)?.in ?? new Float64Array();
  };
  const near = (found: Float64Array, expected: number[]) =>
    expected.forEach((value, i) => {
      assert.ok(Math.abs((found[i] as number) - value) < 1e-12, `${i}: ${found[i]}, expected ${value}`);
    });

  it('give what each of them means', async () => {
    const [a, b] = [[2, 1, 3].map(sigmoid), [1, 2, 4].map(sigmoid)];
    const both = (of: (x: number, y: number) => number) => a.map((x, i) => of(x, b[i] as number));
    near(await ensembleOf('paper'), [1.5, 1.5, 3.5].map(sigmoid));
    near(
      await ensembleOf('scores'),
      both((x, y) => (x + y) / 2),
    );
    // Both modes are sure of the same class on each image, so the mean of softmax has the mean of their shares.
    near(
      await ensembleOf('softmax'),
      both((x, y) => (x + y) / 2),
    );
    const z = (values: number[]) => {
      const mean = values.reduce((sum, value) => sum + value) / 3;
      const std = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 3);
      return values.map((value) => (value - mean) / std);
    };
    const [za, zb] = [z(a), z(b)];
    near(
      await ensembleOf('standardised'),
      za.map((value, i) => (value + (zb[i] as number)) / 2),
    );
  });

  it('softmax is refused for what is no function of it', async () => {
    for (const name of ['energy', 'knn']) {
      const given = input('ab', { detectors: [{ name, parameters: {} }], fusion: 'softmax' });
      await assert.rejects(evaluate(given, {}, noNeighbours), {
        code: 'E_CONFIG',
        message: `${name} is no function of the softmax, of which the fusion "softmax" takes the mean; "paper" and "scores" are for all detectors`,
      });
    }
  });

  it('are told in tables, report and results.json where they are not the paper’s', async () => {
    const texts = async (fusion: EvaluationInput['fusion'], ensembles = [['a', 'b']]) => {
      const found = await evaluate(input('ab', { fusion, ensembles }), {}, noNeighbours);
      const page = await renderReport({ evaluation: found, title: 't', settings: {}, environment: {} });
      return [formatTables(found), still(page), JSON.parse(resultsJson(found)).fusion];
    };
    const [table, page, fusion] = await texts('scores');
    assert.ok(table.endsWith(' Ensembles: mean of the scores of the modes (fusion "scores").\n'), table);
    assert.match(page, /One mode: largest softmax.*\. An ensemble: mean of the scores of the modes\./);
    assert.equal(fusion, 'scores');
    const [plain, own, paper] = await texts('paper');
    assert.doesNotMatch(`${plain}${own}`, /fusion "/);
    assert.equal(paper, 'paper');
    const [alone] = await texts('scores', []);
    assert.doesNotMatch(alone, /fusion "/);
  });
});

describe('one detector with several parameters', () => {
  const services: Services = {
    neighbours: ({ k }) => {
      const distances = [Float32Array.of(k, 2, 3), Float32Array.of(4, 2 * k)];
      return { done: Promise.resolve({ distances }), abort() {} };
    },
  };
  const detectors = chooseDetectors(['msp', { knn: { k: 1 } }, { knn: { k: 3 } }], 'detectors');

  it('has rows, tables, sections and scores for each of them', async () => {
    const found = await evaluate(input('a', { detectors, ensembles: [] }), {}, services);
    assert.deepEqual(
      found.rows.map(({ detector, auroc }) => [detector, auroc]),
      [
        // 0.88 0.73 0.95 against 0.5 0.82: one pair of six is lost.
        ['msp', 5 / 6],
        // −1 −2 −3 against −4 −2: lost is (−3, −2), tied (−2, −2).
        ['knn:k=1', 4.5 / 6],
        // −3 −2 −3 against −4 −6.
        ['knn:k=3', 1],
      ],
    );
    assert.match(resultsCsv(found.rows), /\nshapes,near,x,knn:k=3,mode,a,3,2,1,/);
    const json = JSON.parse(resultsJson(found));
    assert.deepEqual(json.detectors, [
      { name: 'msp', label: 'msp', parameters: {} },
      { name: 'knn', label: 'knn:k=1', parameters: { k: 1 } },
      { name: 'knn', label: 'knn:k=3', parameters: { k: 3 } },
    ]);
    assert.deepEqual(
      json.summary.map(({ detector }: { detector: string }) => detector),
      ['msp', 'knn:k=1', 'knn:k=3'],
    );
    const text = formatTables(found);
    for (const title of ['MSP', 'kNN (k=1)', 'kNN (k=3)']) assert.ok(text.includes(`\n${title}, FPR95 %`), title);
    const page = await renderReport({ evaluation: found, title: 't', settings: {}, environment: {} });
    for (const k of [1, 3]) {
      assert.ok(page.includes(`<h2 id="knn:k=${k}">kNN (k=${k})</h2>`));
      assert.ok(page.includes(`<h3>kNN (k=${k}) scores of the mode a</h3>`));
    }
    // ROC curves and scores of each of three detectors, and FPR95 of the mode with all of them; one OoD set.
    assert.equal(page.match(/<figure>/g)?.length, 7);
    assert.match(page, /kNN \(k=3\) has the lowest FPR95 on average over the OoD sets/);
  });

  it('has folders of scores whose names can stand on any system', async () => {
    const found = await evaluate(input('a', { detectors, ensembles: [] }), {}, services);
    const own = mkdtempSync(join(folder, 'scores-'));
    const paths = (await writeScores(own, found)).map((path) => relative(own, path));
    assert.deepEqual(
      paths,
      ['msp', 'knn,k=1', 'knn,k=3'].flatMap((name) => ['shapes', 'near'].map((set) => join(name, 'a', `${set}.npy`))),
    );
  });
});
