import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Services } from '../../lib/detectors/index.js';
import type { NeighboursOptions, ProgressEvent } from '../../lib/native/contract.js';
import { evaluate } from '../../lib/run/evaluate.js';
import type { EvaluationInput } from '../../lib/run/types.js';
import { featureFiles } from '../helpers/features.js';

const folder = mkdtempSync(join(tmpdir(), 'evaluate-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const feature = featureFiles(folder);

const TWO_CLASSES = (gaps: number[]) => gaps.map((gap) => [gap, 0]);

/**
 * Two modes, two classes, three test images, OoD sets of two and one. MSP grows with the gap between the logits.
 * Gaps: a 2 1 3 against 0 1.5; b 1 2 4 against 0.5 3; their mean 0.5 1.5 0.5 against 0.25 0.75.
 */
function input(change: Partial<EvaluationInput> = {}): EvaluationInput {
  const labels = [0, 1, 0];
  return {
    in: 'shapes',
    members: [
      {
        name: 'a',
        arch: 'cifar-resnet18-w16',
        train: feature('a-train', TWO_CLASSES(Array(60).fill(1)), Array(60).fill(0)),
        test: feature(
          'a-test',
          [
            [2, 0],
            [0, 1],
            [0, 3],
          ],
          labels,
        ),
        out: { near: feature('a-near', TWO_CLASSES([0, 1.5]), [0, 0]), far: feature('a-far', TWO_CLASSES([0.5]), [0]) },
      },
      {
        name: 'b',
        arch: 'cifar-resnet18-w16',
        train: feature('b-train', TWO_CLASSES(Array(60).fill(2)), Array(60).fill(0)),
        test: feature(
          'b-test',
          [
            [0, 1],
            [0, 2],
            [4, 0],
          ],
          labels,
        ),
        out: {
          near: feature(
            'b-near',
            [
              [0.5, 0],
              [0, 3],
            ],
            [0, 0],
          ),
          far: feature('b-far', TWO_CLASSES([9]), [0]),
        },
      },
    ],
    ensembles: [['b', 'a']],
    detectors: [{ name: 'msp', parameters: {} }],
    threads: 2,
    ...change,
  };
}

const noNeighbours: Services = { neighbours: () => assert.fail('no neighbour search expected') };

describe('evaluate', () => {
  it('measures each mode and the ensemble of mean logits', async () => {
    const found = await evaluate(input(), {}, noNeighbours);
    assert.equal(found.convention, 'reference');
    assert.deepEqual(found.out, ['near', 'far']);
    assert.deepEqual(found.accuracy, [
      { kind: 'mode', members: 'a', n: 3, top1: 2 / 3 },
      { kind: 'mode', members: 'b', n: 3, top1: 2 / 3 },
      { kind: 'ensemble', members: 'a+b', n: 3, top1: 1 },
    ]);
    assert.deepEqual(
      found.rows.map(({ out, kind, members, n_in, n_out, auroc, fpr95 }) => [
        out,
        kind,
        members,
        n_in,
        n_out,
        auroc,
        fpr95,
      ]),
      [
        ['near', 'mode', 'a', 3, 2, 5 / 6, 1 / 2],
        ['near', 'mode', 'b', 3, 2, 4 / 6, 1 / 2],
        ['near', 'ensemble', 'a+b', 3, 2, 4 / 6, 1 / 2],
        ['far', 'mode', 'a', 3, 1, 1, 0],
        ['far', 'mode', 'b', 3, 1, 0, 1],
        ['far', 'ensemble', 'a+b', 3, 1, 0, 1],
      ],
    );
    const last = found.scores.at(-1);
    assert.deepEqual(last?.members, ['a', 'b']);
    const sigmoid = (gap: number) => 1 / (1 + Math.exp(-gap));
    assert.deepEqual(last?.in, Float64Array.of(sigmoid(0.5), sigmoid(1.5), sigmoid(0.5)));
    assert.deepEqual(last?.out.near, Float64Array.of(sigmoid(0.25), sigmoid(0.75)));
    assert.deepEqual(found.warnings, []);
  });

  it('runs one neighbour job a subset over all sets and reports progress to the end', async () => {
    const asked: Omit<NeighboursOptions, 'memory'>[] = [];
    const events: ProgressEvent[] = [];
    const given = input({
      detectors: [
        { name: 'knn', parameters: { k: 5 } },
        { name: 'energy', parameters: {} },
      ],
    });
    const found = await evaluate(
      given,
      { onProgress: (event) => events.push(event) },
      {
        neighbours: (options, hooks) => {
          asked.push(options);
          hooks.onProgress?.({ type: 'progress', phase: 'neighbours', done: 1, total: 2, rate: 1 });
          const distances = [Float32Array.of(1, 2, 3), Float32Array.of(4, 2.5), Float32Array.of(0.5)];
          return { done: Promise.resolve({ distances }), abort() {} };
        },
      },
    );
    const [a, b] = given.members;
    assert.equal(asked.length, 3);
    assert.deepEqual(asked[2], {
      bank: [a?.train?.plain, b?.train?.plain],
      queries: [
        [a?.test.plain, b?.test.plain],
        [a?.out.near?.plain, b?.out.near?.plain],
        [a?.out.far?.plain, b?.out.far?.plain],
      ],
      tensor: 'stage5',
      k: 5,
      threads: 2,
    });
    // Distances 1 2 3 against 4 2.5: of six pairs only (3, 2.5) is lost.
    const row = found.rows.find(
      ({ detector, members, out }) => detector === 'knn' && members === 'a+b' && out === 'near',
    );
    assert.equal(row?.auroc, 5 / 6);
    // 3 subsets × 2 detectors × 6 images.
    const last = events.at(-1);
    assert.deepEqual([last?.phase, last?.done, last?.total], ['evaluate', 36, 36]);
    assert.ok(events.some(({ done }) => done === 18 + 3));
    assert.ok(events.every(({ done }, i) => i === 0 || done >= (events[i - 1]?.done ?? 0)));
  });

  it('warns where all scores are tied', async () => {
    const flat = (name: string, rows: number) => feature(name, TWO_CLASSES(Array(rows).fill(1)), Array(rows).fill(0));
    const members = [
      { name: 'a', arch: 'cifar-resnet18-w16', test: flat('tied-test', 3), out: { near: flat('tied-near', 2) } },
    ];
    const logs: string[] = [];
    const found = await evaluate(
      input({ members, ensembles: [] }),
      { onLog: ({ message }) => logs.push(message) },
      noNeighbours,
    );
    assert.equal(found.rows[0]?.auroc, 0.5);
    assert.equal(found.warnings.length, 1);
    assert.match(found.warnings[0] ?? '', /All scores of shapes \(msp, mode a\) and near \(msp, mode a\) are equal/);
    assert.deepEqual(logs, found.warnings);
  });

  it('stops when asked and lets the event loop run', async () => {
    const controller = new AbortController();
    setImmediate(() => controller.abort());
    await assert.rejects(evaluate(input(), { signal: controller.signal }, noNeighbours), { code: 'E_ABORTED' });
  });
});

describe('evaluate, bad input', () => {
  const fails = (change: (given: EvaluationInput) => unknown, code: string, message: RegExp) => async () => {
    const given = input();
    change(given);
    await assert.rejects(evaluate(given, {}, noNeighbours), { code, message });
  };
  const second = (given: EvaluationInput) => given.members[1] as EvaluationInput['members'][number];
  const list: [string, (given: EvaluationInput) => unknown, string, RegExp][] = [
    ['no modes', (given) => given.members.splice(0), 'E_CONFIG', /at least one mode/],
    ['no detectors', (given) => given.detectors.splice(0), 'E_CONFIG', /at least one detector/],
    [
      'a detector twice',
      (given) => given.detectors.push({ name: 'MSP', parameters: {} }),
      'E_CONFIG',
      /Detector msp is given twice/,
    ],
    [
      'an unknown detector',
      (given) => given.detectors.push({ name: 'msq', parameters: {} }),
      'E_CONFIG',
      /"msq".*"msp"/,
    ],
    ['a mode twice', (given) => Object.assign(second(given), { name: 'a' }), 'E_CONFIG', /Mode a is given twice/],
    [
      'a plus in a name',
      (given) => Object.assign(second(given), { name: 'a+c' }),
      'E_CONFIG',
      /cannot be called "a\+c"/,
    ],
    ['an unknown member', (given) => given.ensembles.push(['a', 'c']), 'E_CONFIG', /there is no mode "c"/],
    [
      'an OoD set named as the InD set',
      (given) => Object.assign(given, { in: 'far' }),
      'E_CONFIG',
      /"far" names the in-distribution set and an OoD set/,
    ],
    [
      'a set that one mode lacks',
      (given) => Reflect.deleteProperty(second(given).out, 'far'),
      'E_CONFIG',
      /Modes a and b must have the same OoD sets; only one of them has far/,
    ],
    [
      'no training features for kNN',
      (given) => {
        given.detectors.push({ name: 'knn', parameters: {} });
        Object.assign(second(given), { train: undefined });
      },
      'E_CONFIG',
      /knn needs features of the training data, which mode b does not have/,
    ],
    [
      'another number of images',
      (given) => Object.assign(second(given), { test: feature('x', TWO_CLASSES([1, 2]), [0, 1]) }),
      'E_DATA',
      /features of shapes are not of the same images: the number of images is 3 in .*a-test.*, but 2 in .*x\.safe/,
    ],
    [
      'other labels',
      (given) => Object.assign(second(given), { test: feature('x', TWO_CLASSES([1, 2, 3]), [0, 1, 1]) }),
      'E_DATA',
      /label 2 is 0 in .*a-test.*, but 1 in/,
    ],
    [
      'other classes',
      (given) => Object.assign(second(given).out, { far: feature('x', [[1, 2, 3]], [0]) }),
      'E_DATA',
      /Modes with 2 and 3 classes have no common logits/,
    ],
    [
      'other data',
      (given) => {
        Object.assign(given.members[0]?.out ?? {}, { far: feature('x', TWO_CLASSES([1]), [0], { fingerprint: 'f1' }) });
        Object.assign(second(given).out, { far: feature('y', TWO_CLASSES([1]), [0], { fingerprint: 'f2' }) });
      },
      'E_DATA',
      /the fingerprint is f1 in .*, but f2 in/,
    ],
    [
      'a label that is no class',
      (given) => {
        for (const member of given.members)
          member.test = feature(`l-${member.name}`, TWO_CLASSES([1, 2, 3]), [0, 1, 2]);
      },
      'E_DATA',
      /Label 2 of image 2 of shapes is not a class/,
    ],
    [
      'NaN logits',
      (given) =>
        Object.assign(given.members[0]?.out ?? {}, { near: feature('n', TWO_CLASSES([1, Number.NaN]), [0, 0]) }),
      'E_NUMERIC',
      /n\.safetensors: tensor "logits", image 1: expected finite numbers, found NaN/,
    ],
    [
      'a file that is not there',
      (given) => Object.assign(second(given), { test: { plain: join(folder, 'none') } }),
      'E_IO',
      /none cannot be read/,
    ],
  ];
  for (const [name, change, code, message] of list) it(name, fails(change, code, message));
});
