/** Loss surfaces, paths with statistics estimated anew, and steps of a curve's training beside Python PyTorch. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { curveCoefficients } from '../../lib/landscape/geometry.js';
import type {
  ArchOptions,
  CurveKind,
  DataHandle,
  LabelRule,
  PointEvent,
  StatisticsOptions,
  SurfaceOptions,
} from '../../lib/native/contract.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';
import { AUGMENT, CIFAR_TRANSFORM, open, recipe, UNSAVED } from '../helpers/native.js';
import { initWeights, writeWithNorms } from '../helpers/networks.js';
import { floats, readTensors, type Tensor } from '../helpers/safetensors.js';

/** Made by make_landscape_fixtures.py. */
interface Fixture {
  width: number;
  classes: number;
  grid: number;
  range: number;
  seed: number;
  test: number;
  train: number;
  batchSize: number;
  learningRate: number;
  momentum: number;
  weightDecay: number;
  surface: { rules: LabelRule[]; losses: number[][]; direction1: Record<string, number[]> };
  between: number[];
  curves: Record<CurveKind, { loss: number; moved: Record<string, number[]>; before: Record<string, number[]> }>;
}

const fixture: Fixture = JSON.parse(readFileSync('test/fixtures/landscape.json', 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-landscape-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const arch: ArchOptions = { name: 'cifar-resnet18', width: fixture.width, classes: fixture.classes, dropout: 0 };
const ends: [string, string] = [join(folder, 'a.safetensors'), join(folder, 'b.safetensors')];
const addon = getAddon();
let test: DataHandle;
let train: DataHandle;
before(async () => {
  for (const [i, file] of ends.entries()) {
    const made = await initWeights(arch, 3 + i, file);
    const head = floats(made.tensors.get('linear.weight') as Tensor);
    for (let k = 0; k < head.length; k++) head[k] = 16 * (head[k] as number);
    writeWithNorms(file, made);
  }
  const path = writeCifar(join(folder, 'cifar'), fixture.train, fixture.test);
  test = (await open({ path, split: 'test' })).handle;
  train = (await open({ path, split: 'train' })).handle;
});

/** Losses [points][sets]. */
async function lossesOf(options: Partial<SurfaceOptions>): Promise<{ losses: number[][]; accuracies: number[][] }> {
  const losses: number[][] = [];
  const accuracies: number[][] = [];
  const whole: SurfaceOptions = {
    arch,
    checkpoints: [ends[0]],
    directions: 0,
    directionsOutput: '',
    seed: fixture.seed,
    sets: [{ data: test, images: 0, labels: 'own' }],
    transform: CIFAR_TRANSFORM,
    coefficients: [1],
    labelsAt: [1],
    statistics: null,
    batchSize: 16,
    precision: 'float32',
    memory: 2 ** 30,
    frozen: true,
    threads: 2,
    workers: 1,
    ...options,
  };
  await addon.surface(whole, (event) => {
    if (event.type !== 'point') return;
    const { index, losses: found, accuracies: right } = event as PointEvent;
    losses[index] = found;
    accuracies[index] = right;
  }).done;
  return { losses, accuracies };
}

function places(): number[] {
  const { grid, range } = fixture;
  return Array.from({ length: grid }, (_, i) => (range * (2 * i - (grid - 1))) / (grid - 1));
}

describe('a loss surface', () => {
  for (const frozen of [true, false]) {
    it(`is Python's under every label rule, ${frozen ? 'frozen' : 'plain'} (relative error below 1e-4)`, async (t) => {
      const { rules, losses } = fixture.surface;
      const found = await lossesOf({
        directions: 2,
        sets: rules.map((labels) => ({ data: test, images: 0, labels })),
        coefficients: places().flatMap((beta) => places().flatMap((alpha) => [1, alpha, beta])),
        labelsAt: [1, 0, 0],
        frozen,
      });
      let worst = 0;
      for (const [point, expected] of losses.entries()) {
        for (const [set, loss] of expected.entries()) {
          worst = Math.max(worst, Math.abs((found.losses[point]?.[set] as number) - loss) / loss);
        }
      }
      t.diagnostic(`largest relative error ${worst.toExponential(1)}`);
      assert.ok(worst < 1e-4, `${worst}`);
      const uniform = rules.indexOf('uniform');
      assert.ok(found.accuracies.every((row) => Number.isNaN(row[uniform])));
      // The centre's predictions are right there by definition.
      assert.equal(found.accuracies[12]?.[rules.indexOf('prediction')], 1);
      // What is compared differs from point to point by far more than the bound.
      const own = losses.map(([loss]) => loss as number);
      assert.ok(Math.max(...own) - Math.min(...own) > 0.5);
    });
  }

  it('takes directions of the filters’ norms, zero where a tensor has one dimension', async () => {
    const file = join(folder, 'directions.safetensors');
    await lossesOf({ directions: 2, directionsOutput: file, coefficients: [1, 0, 0], labelsAt: [1, 0, 0] });
    const { tensors } = readTensors(file);
    const weights = readTensors(ends[0]).tensors;
    for (const [name, expected] of Object.entries(fixture.surface.direction1)) {
      const found = floats(tensors.get(`direction1.${name}`) as Tensor);
      for (const [i, value] of expected.entries()) {
        assert.ok(Math.abs((found[i] as number) - value) <= 1e-6 * Math.abs(value) + 1e-9, `${name} ${i}`);
      }
    }
    const norm = (values: Float32Array) => Math.hypot(...values);
    let filters = 0;
    for (const [name, tensor] of tensors) {
      const values = floats(tensor);
      if (tensor.shape.length < 2) {
        assert.ok(
          values.every((value) => value === 0),
          name,
        );
        continue;
      }
      const own = floats(weights.get(name.replace(/^direction\d\./, '')) as Tensor);
      const size = values.length / (tensor.shape[0] as number);
      for (let row = 0; row < (tensor.shape[0] as number); row++, filters++) {
        const [a, b] = [values, own].map((all) => norm(all.subarray(row * size, (row + 1) * size))) as [number, number];
        assert.ok(Math.abs(a - b) <= 1e-5 * b, `${name}, filter ${row}: ${a} and ${b}`);
      }
    }
    assert.ok(filters > 100);
  });
});

const statistics = (): StatisticsOptions => ({ train, augment: null, images: 0, batchSize: fixture.batchSize });

describe('between two networks', () => {
  it("losses with statistics estimated anew are Python's (relative error below 1e-4)", async () => {
    const { losses } = await lossesOf({
      checkpoints: ends,
      coefficients: [0, 0.25, 0.5, 1].flatMap((t) => [1 - t, t]),
      labelsAt: [1, 0],
      statistics: statistics(),
    });
    for (const [i, expected] of fixture.between.entries()) {
      const error = Math.abs((losses[i]?.[0] as number) - expected) / expected;
      assert.ok(error < 1e-4, `point ${i}: ${losses[i]} and ${expected}`);
    }
  });

  for (const kind of ['bezier', 'chain'] as const) {
    it(`three steps of a ${kind}'s training are Python's (loss 1e-4, what the bend moved by 1e-2)`, async (t) => {
      const { train: _size, test: _test, ...rest } = fixture;
      const { loss, moved, before: start } = fixture.curves[kind];
      const checkpoint = join(folder, `${kind}.safetensors`);
      const { ema: _ema, ...how } = recipe({
        ...{ epochs: 1, batchSize: rest.batchSize, learningRate: rest.learningRate, momentum: rest.momentum },
        weightDecay: rest.weightDecay,
      });
      const result = await addon.trainCurve(
        {
          ...how,
          ...{ arch, ends, kind, seed: rest.seed, train, transform: CIFAR_TRANSFORM, checkpoint },
          augment: { ...AUGMENT, crop: 'none', cropPadding: 0, flip: false },
          ...{ device: 'cpu', saving: UNSAVED, threads: 2, workers: 1, resume: '', metadata: {}, memory: 2 ** 30 },
          statistics: statistics(),
        },
        () => {},
      ).done;
      assert.ok(Math.abs(result.loss - loss) / loss < 1e-4, `${result.loss} and ${loss}`);
      const { tensors } = readTensors(checkpoint);
      for (const [name, expected] of Object.entries(moved)) {
        const found = floats(tensors.get(name) as Tensor);
        const own = expected.map((_, i) => (found[i] as number) - (start[name]?.[i] as number));
        const error = Math.hypot(...own.map((value, i) => value - (expected[i] as number))) / Math.hypot(...expected);
        t.diagnostic(`${name}: ${error.toExponential(1)}`);
        // Batch norm makes much of float32's rounding, see make_trajectory_fixtures.py.
        assert.ok(error < 1e-2, `${name}: ${error}`);
      }
    });
  }

  it('coefficients of curves begin and end with the ends', () => {
    assert.deepEqual(curveCoefficients('bezier', 0), [1, 0, 0]);
    assert.deepEqual(curveCoefficients('bezier', 0.5), [0.25, 0.5, 0.25]);
    assert.deepEqual(curveCoefficients('chain', 0.5), [0, 1, 0]);
    assert.deepEqual(curveCoefficients('chain', 0.25), [0.5, 0.5, 0]);
    assert.deepEqual(curveCoefficients('chain', 1), [0, 0, 1]);
  });
});
