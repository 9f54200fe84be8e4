/** Passes in which the members of an ensemble depend on each other, around an addon that does no work. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { ExperimentInput } from '../../lib/config/schema.js';
import type { DataSet } from '../../lib/data/open.js';
import { getDetector, resolveParameters } from '../../lib/detectors/index.js';
import { FeatureStore, PLAIN, passId, perturbed } from '../../lib/features/index.js';
import { resolveArch } from '../../lib/modes/arch.js';
import { evaluate } from '../../lib/run/evaluate.js';
import { runExperiment } from '../../lib/run/run.js';
import { togetherOf } from '../../lib/run/together.js';
import type { EvaluationInput } from '../../lib/run/types.js';
import { FAKE_TRANSFORM, fakeAddon, writeSafetensors } from './run-addon.js';

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-together-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const odin = (gradient: string) => ({ odin: { magnitude: 0.001, gradient } });

function experiment(gradient: string): ExperimentInput {
  return {
    in: 'builtin:shapes',
    out: ['builtin:a', 'builtin:b'],
    arch: 'R18',
    width: 16,
    seeds: [1, 2, 3],
    train: { epochs: 1 },
    evaluate: {
      detectors: ['msp', odin(gradient)],
      ensembles: [
        [1, 2],
        [1, 2, 3],
        [2, 3],
      ],
    },
    threads: 1,
    run: join(folder, gradient),
  };
}

/** For each extraction the passes that are stored of each member, by the members' seeds. */
const jobs = ({ extracted }: ReturnType<typeof fakeAddon>) =>
  extracted.map(({ members }) =>
    members.map(({ checkpoint, outputs }) => {
      const seed = /seed-(\d)/.exec(checkpoint)?.[1];
      return `${seed}: ${outputs.map(({ pass }) => (pass.kind === 'plain' ? 'plain' : pass.gradient)).join(', ')}`;
    }),
  );

test('accumulated gradients: files of each ensemble, those of its beginning shared; a second run makes none', async () => {
  const addon = fakeAddon();
  const stages: string[] = [];
  const { evaluation } = await runExperiment(experiment('accumulated'), {
    addon,
    onStage: (stage) => stages.push(stage),
  });
  // Single modes read the files of their own gradients.
  const own = ['1: plain, own', '2: plain, own', '3: plain, own'];
  const each = [
    ['1: ', '2: accumulated'],
    ['1: ', '2: ', '3: accumulated'],
    ['2: ', '3: accumulated'],
  ];
  assert.deepEqual(jobs(addon), [own, own, own, ...each.flatMap((job) => [job, job, job])]);
  assert.deepEqual(stages.slice(-10), [
    'evaluate',
    ...['1+2', '1+2+3', '2+3'].flatMap((members) => ['shapes', 'a', 'b'].map((set) => `extract ${set} (${members})`)),
  ]);
  assert.equal(evaluation.rows.length, 2 * 2 * 6);
  const made = addon.extracted.length;
  await runExperiment(experiment('accumulated'), { addon });
  assert.equal(addon.extracted.length, made);
});

test('own gradients need nothing but the files of the modes', async () => {
  const addon = fakeAddon();
  await runExperiment(experiment('own'), { addon });
  assert.equal(addon.extracted.length, 3);
});

test('ODIN asks for files of own gradients, and reads accumulated ones', () => {
  const detector = getDetector('odin');
  const parameters = resolveParameters(detector, odin('accumulated').odin);
  assert.deepEqual(detector.needs(parameters).passes.map(passId), [passId(perturbed(1000, 0.001, 'own'))]);
  assert.ok('pass' in detector);
  assert.equal(passId(detector.pass(parameters)), passId(perturbed(1000, 0.001, 'accumulated')));
  // Without a step there is nothing to accumulate.
  const still = resolveParameters(detector, { magnitude: 0, gradient: 'accumulated' });
  assert.deepEqual([detector.pass(still), detector.needs(still).passes], [PLAIN, [PLAIN]]);
});

test('feature files alone are not enough for an ensemble of accumulated gradients', async () => {
  const own = perturbed(1000, 0.001);
  const file = (name: string) => {
    const path = join(folder, name);
    const columns = { labels: { dtype: 'I64' as const, shape: [4] }, logits: { dtype: 'F32' as const, shape: [4, 3] } };
    writeSafetensors(path, columns, { key: name, penultimate: '' });
    return path;
  };
  const files = (name: string) => ({ [passId(PLAIN)]: file(`${name}-plain`), [passId(own)]: file(`${name}-own`) });
  const input: EvaluationInput = {
    in: 'in',
    members: ['1', '2'].map((name) => {
      return { name, arch: 'r18', test: files(`${name}-in`), out: { out: files(`${name}-out`) } };
    }),
    ensembles: [['1', '2']],
    detectors: [{ name: 'odin', parameters: odin('accumulated').odin }],
    threads: 1,
  };
  await assert.rejects(evaluate(input), {
    code: 'E_CONFIG',
    message:
      "gradient: accumulated: the ensemble 1+2 needs its modes' networks, since a mode's gradient is added to those of the " +
      'modes before it; there are feature files alone.',
  });
  const modes = await evaluate({ ...input, ensembles: [] });
  assert.equal(modes.rows.length, 2);
  // Scores of modes are fused without their networks.
  const fused = await evaluate({ ...input, fusion: 'scores' });
  assert.equal(fused.rows.length, 3);
});

test('gradients of modes with different preprocessing are not added up', async () => {
  const addon = fakeAddon();
  const arch = resolveArch('R18', 16, { architectures: addon });
  const members = [200, 224].map((crop) => {
    const name = String(crop);
    return { name, checkpoint: name, weightsHash: name, arch, classes: 3, transform: { ...FAKE_TRANSFORM, crop } };
  });
  const rest = { passes: [], batchSize: 1, precision: 'float32', threads: 1, workers: 1 } as const;
  const sets = { test: {} as DataSet, out: [] };
  const together = togetherOf({ members, sets, store: new FeatureStore(folder), addon, ...rest });
  await assert.rejects(together(['200', '224'], perturbed(1000, 0.001, 'accumulated')), {
    code: 'E_CONFIG',
    message:
      'gradient: accumulated: expected modes with one preprocessing, whose gradients can be added up, found 2 in 200+224; take gradient: own.',
  });
});
