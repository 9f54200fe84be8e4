/** Mahalanobis scores of every stage against the oracle of test/parity/oracles/mahalanobis.py, for modes and ensembles. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openSafetensors, readFloat64 } from '../../lib/features/safetensors.js';
import type { ArchOptions, Clamp, OpenDataResult, TransformOptions } from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { npy } from '../helpers/arrays.js';
import { extractMember, open, quiet } from '../helpers/native.js';
import { readTensors } from '../helpers/safetensors.js';
import { type SceneSet, scenes, writeScaled } from '../helpers/scenes.js';

type Quantities = Record<string, Partial<Record<SetName, number[]>>>;
type SetName = 'train' | 'test' | 'out';

interface Fixture {
  arch: string;
  width: number;
  classes: number;
  seeds: number[];
  scale: { norms: number; head: number };
  size: number;
  mean: [number, number, number];
  std: [number, number, number];
  sets: Record<SetName, SceneSet & { sha256: string }>;
  parameters: { step: number; adversarial: number };
  members: Record<string, Quantities>;
  /** Of the oracle itself, between float32 and float64: largest relative difference, and to the largest number. */
  roundoff: Record<string, [number, number]>;
}

const folder = mkdtempSync(join(tmpdir(), 'mahalanobis-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const FIXTURES = 'test/fixtures/detectors';
const MAGNITUDES = [0, 0.0014];
const CLAMPS: readonly Clamp[] = ['pixels', 'normalized'];
/** Of networks for images above this side one mode is enough. */
const LARGE = 64;
/** Relative; more only where the oracle is further from itself when it computes in float32, as a sign then changes. */
const TOLERANCE = 1e-4;

describe('Mahalanobis scores of each stage', () => {
  for (const file of readdirSync(FIXTURES).sort()) {
    const fixture = JSON.parse(readFileSync(join(FIXTURES, file), 'utf8')) as Fixture;
    it(`are the oracle's: ${fixture.arch}, width ${fixture.width}`, () => compareAll(fixture));
  }
});

async function compareAll(fixture: Fixture): Promise<void> {
  const { arch: name, width, classes, seeds, size, mean, std, parameters } = fixture;
  const arch: ArchOptions = { name, width, classes, dropout: 0 };
  const transform: TransformOptions = { resize: size, fit: 'both', filter: 'bilinear', crop: size, mean, std };
  const sets = new Map<SetName, OpenDataResult>();
  for (const set of ['train', 'test', 'out'] as const) sets.set(set, await openScenes(fixture, set));
  const checkpoints = new Map<string, string>();
  for (const seed of seeds) checkpoints.set(String(seed), await makeCheckpoint(arch, seed, fixture));
  const common = { transform, batchSize: 16, device: 'cpu', precision: 'float32', threads: 2, workers: 1 } as const;
  const handle = (set: SetName) => (sets.get(set) as OpenDataResult).handle;
  const path = (kind: string) => join(folder, `${name}-${width}-${kind}.safetensors`);
  for (const set of ['train', 'test', 'out'] as const) {
    const members = seeds.map((seed) =>
      extractMember(arch, checkpoints.get(String(seed)) as string, path(`${seed}-${set}`)),
    );
    await getAddon().extract({ ...common, members, data: handle(set) }, quiet).done;
  }
  // One mode, and all together: what is between them takes long and goes the same way.
  const all = Object.entries(fixture.members);
  const chosen = fixture.size > LARGE ? [all[0]] : [all[0], all.at(-1)];
  for (const [members, quantities] of chosen as typeof all) {
    const names = members.split('+');
    const files = (set: SetName) => names.map((seed) => path(`${seed}-${set}`));
    const ranks = quantities.ranks?.train as number[];
    const stages = ranks.map((_, k) => `stage${k + 1}`);
    const statistics = path(`${members}-gaussians`);
    const fit = { train: files('train'), stages, classes, output: statistics, metadata: {}, threads: 2 };
    const found = await getAddon().fitGaussians(fit, quiet).done;
    assert.deepEqual(
      found.stages.map(({ rank }) => rank),
      ranks,
      `ranks of ${members}`,
    );
    const compare = (quantity: string, set: SetName, scores: Float64Array) =>
      compareScores(scores, quantities[quantity]?.[set] as number[], stages.length, fixture, quantity, members);
    const stored = { statistics, sets: [files('test'), files('out')], stages, threads: 2 };
    const { scores } = await getAddon().gaussianScores(stored, quiet).done;
    compare('mahalanobis, magnitude=0', 'test', scores[0] as Float64Array);
    compare('mahalanobis, magnitude=0', 'out', scores[1] as Float64Array);

    const networks = names.map((seed) => ({ arch, checkpoint: checkpoints.get(seed) as string }));
    const perturbed = async (set: SetName, count: number, clamp?: Clamp) => {
      const output = path(`${members}-${set}-${clamp}`);
      const adversarial = clamp ? { step: parameters.step, clamp } : null;
      const part = {
        data: handle(set),
        first: 0,
        count: Math.min(count, fixture.sets[set].count),
        magnitudes: MAGNITUDES,
        adversarial,
      };
      await getAddon().perturbedGaussians(
        { ...common, ...part, members: networks, statistics, output, metadata: {} },
        quiet,
      ).done;
      return readScores(output);
    };
    const readScores = async (output: string) => {
      const opened = await openSafetensors(output);
      const all = await readFloat64(opened, 'scores', 3);
      const [rows = 0] = opened.tensors.get('scores')?.shape ?? [];
      return MAGNITUDES.map((_, magnitude) =>
        Float64Array.from({ length: rows * stages.length }, (_, i) => {
          const [row, stage] = [Math.floor(i / stages.length), i % stages.length];
          return all[(row * MAGNITUDES.length + magnitude) * stages.length + stage] as number;
        }),
      );
    };
    const both = await perturbed('test', 0);
    for (const [i, magnitude] of MAGNITUDES.entries()) {
      compare(`mahalanobis, magnitude=${magnitude}`, 'test', both[i] as Float64Array);
    }
    if (names.length === 1) {
      // On the way of an extraction, from one graph with ODIN's gradient: the same scores as by a job of their own.
      const beside = path(`${members}-beside`);
      const odin = { kind: 'perturbed', temperature: 1000, magnitude: 0.0014, gradient: 'own' } as const;
      const [first] = names as [string];
      const member = extractMember(arch, checkpoints.get(first) as string, path(`${members}-odin`), odin);
      const stageScores = [{ statistics, magnitudes: MAGNITUDES, path: beside, metadata: {} }];
      await getAddon().extract({ ...common, members: [{ ...member, stageScores }], data: handle('test') }, quiet).done;
      for (const [i, scores] of (await readScores(beside)).entries()) {
        assert.deepEqual(scores, both[i], `magnitude ${MAGNITUDES[i]}, beside an extraction`);
      }
    }
    for (const clamp of CLAMPS) {
      const both = await perturbed('test', parameters.adversarial, clamp);
      for (const [i, magnitude] of MAGNITUDES.entries()) {
        compare(`adversarial, clamp=${clamp}, magnitude=${magnitude}`, 'test', both[i] as Float64Array);
      }
    }
  }
  for (const set of sets.values()) getAddon().disposeData(set.handle);
}

/** Close, and stage by stage in the same order but for what lies closer than the tolerance. */
function compareScores(
  found: Float64Array,
  expected: readonly number[],
  stages: number,
  { roundoff }: Fixture,
  quantity: string,
  members: string,
): void {
  assert.equal(found.length, expected.length, quantity);
  const tolerance = Math.max(TOLERANCE, 3 * (roundoff[quantity]?.[0] ?? 0));
  for (const [i, value] of expected.entries()) {
    const difference = Math.abs((found[i] as number) - value);
    const what = `${members}, ${quantity}, image ${Math.floor(i / stages)}, stage ${(i % stages) + 1}`;
    assert.ok(difference <= tolerance * Math.abs(value), `${what}: ${found[i]}, expected ${value}`);
  }
  for (let stage = 0; stage < stages; stage++) {
    const rows = Array.from({ length: expected.length / stages }, (_, row) => row * stages + stage);
    rows.sort((a, b) => (expected[a] as number) - (expected[b] as number));
    for (const [place, row] of rows.entries()) {
      for (const later of rows.slice(place + 1)) {
        const [low, high] = [expected[row] as number, expected[later] as number];
        if (high - low <= 2 * tolerance * Math.abs(low)) continue;
        assert.ok((found[row] as number) < (found[later] as number), `${quantity}: order of stage ${stage + 1}`);
      }
    }
  }
}

async function openScenes(fixture: Fixture, set: SetName): Promise<OpenDataResult> {
  const { size, sets, arch } = fixture;
  const scene = sets[set];
  const pixels = scenes(scene, size);
  assert.equal(createHash('sha256').update(pixels).digest('hex'), scene.sha256);
  const images = join(folder, `${arch}-${fixture.width}-${set}.npy`);
  writeFileSync(images, npy('|u1', `(${scene.count}, ${size}, ${size}, 3)`, pixels));
  const labels = `${arch}-${fixture.width}-${set}-labels.npy`;
  const values = Int32Array.from({ length: scene.count }, (_, i) => i % fixture.classes);
  writeFileSync(join(folder, labels), npy('<i4', `(${scene.count},)`, values));
  return open({ reader: 'npy', path: images, split: '', labels });
}

async function makeCheckpoint(arch: ArchOptions, seed: number, { scale }: Fixture): Promise<string> {
  const path = join(folder, `${arch.name}-${arch.width}-${seed}.weights.safetensors`);
  await getAddon().initWeights({ arch, seed, output: path, metadata: {} }, quiet).done;
  writeScaled(path, readTensors(path), scale);
  return path;
}
