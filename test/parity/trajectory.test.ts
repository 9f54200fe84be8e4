/** Twenty steps beside Python PyTorch, by one process and by two. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import { writeCifarOf } from '../helpers/cifar.js';
import { hasMpi, MPI_ENV } from '../helpers/ranks.js';
import { floats, readTensors, type Tensor } from '../helpers/safetensors.js';
import { scenes } from '../helpers/scenes.js';

/** Made by make_trajectory_fixtures.py with Python PyTorch; with two ranks by DistributedDataParallel over gloo. */
interface Fixture {
  images: number;
  batchSize: number;
  epochs: number;
  /** How many values of each tensor are there. */
  sample: number;
  cases: {
    settings: { seed: number; width: number; learningRate: number; weightDecay: number };
    ranks: number;
    losses: number[];
    weights: Record<'before' | 'after', Record<string, number[]>>;
  }[];
}

const { images, batchSize, epochs, sample, cases }: Fixture = JSON.parse(
  readFileSync('test/fixtures/trajectory.json', 'utf8'),
);
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-trajectory-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const data = writeCifarOf(join(folder, 'cifar'), scenes({ count: images, salt: 5, grid: 8, classes: 10 }, 32));

/** Loss of each step, and the values of each tensor that the fixture has. */
function train({ settings }: Fixture['cases'][number], { name, launcher = [], flags, capability }: Way) {
  const out = join(folder, name.replaceAll(' ', '-'));
  const { seed, width, learningRate, weightDecay } = settings;
  const [command = '', ...args] = [
    ...[...launcher, process.execPath, resolve('bin/mode-ensemble.js'), 'train', '--arch', 'R18', '--width', width],
    ...['--in', `cifar10:${data}`, '--seed', seed, '--epochs', epochs, '--batch-size', batchSize, '--out', out],
    ...['--learning-rate', learningRate, '--weight-decay', weightDecay, '--crop-padding', 0, '--no-flip'],
    ...['--report-steps', 1, ...flags],
  ].map(String);
  const { status, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...MPI_ENV, ...(capability && { ATEN_CPU_CAPABILITY: capability }) },
  });
  assert.equal(status, 0, stderr);
  const lines = readFileSync(join(out, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  const events = lines.map((line) => JSON.parse(line));
  const { tensors } = readTensors(join(out, 'checkpoint.safetensors'));
  const values = (tensor: Tensor) => {
    const all = floats(tensor);
    const step = Math.max(1, Math.floor(all.length / sample));
    return Array.from({ length: Math.min(sample, Math.ceil(all.length / step)) }, (_, i) => all[i * step] as number);
  };
  return { losses: events.filter(({ type }) => type === 'step').map(({ loss }) => loss as number), tensors, values };
}

interface Way {
  name: string;
  ranks: number;
  launcher?: string[];
  flags: string[];
  skip?: string | false;
  /** What the largest relative error of a loss must stay below. */
  bound: number;
  /** Of the instructions that LibTorch and our kernels may use; default: all that the processor has. */
  capability?: 'avx2' | 'default';
}

const noMpi = hasMpi() ? false : 'there is no MPI here';
const alone = { ranks: 1, flags: ['--threads', '2'], bound: 1e-4 };
const WAYS: readonly Way[] = [
  { name: 'one process', ...alone },
  { name: 'one process with AVX2', ...alone, capability: 'avx2' },
  { name: "one process with LibTorch's kernels alone", ...alone, capability: 'default' },
  { name: 'two ranks over TCP', ranks: 2, flags: ['--ranks', '2', '--threads', '1'], bound: 1e-3 },
  {
    name: 'two ranks over MPI',
    ranks: 2,
    launcher: ['mpirun', '-n', '2'],
    flags: ['--threads', '1'],
    skip: noMpi,
    bound: 1e-3,
  },
];

for (const way of WAYS) {
  const { name, ranks, skip = false, bound } = way;
  describe(`ResNet-18 in float32, ${name}`, { skip }, () => {
    const found = cases.find((one) => one.ranks === ranks) as Fixture['cases'][number];
    const trained = skip === false ? train(found, way) : undefined;

    it(`loses at each of 20 steps what PyTorch loses (relative error below ${bound})`, (t) => {
      const { losses } = trained as NonNullable<typeof trained>;
      assert.equal(losses.length, 20);
      const errors = losses.map(
        (loss, i) => Math.abs(loss - (found.losses[i] as number)) / (found.losses[i] as number),
      );
      t.diagnostic(`largest relative error of a loss ${Math.max(...errors).toExponential(1)}`);
      for (const [i, error] of errors.entries()) assert.ok(error < bound, `step ${i + 1}: ${error}`);
    });

    it('ends with the weights of PyTorch (relative error below 1e-3, of what they moved by below 0.05)', (t) => {
      const { tensors, values } = trained as NonNullable<typeof trained>;
      // Of all sampled weights as one vector; running statistics are the batches', not the weights'.
      const sums = { apart: 0, whole: 0, moved: 0 };
      for (const [name, expected] of Object.entries(found.weights.after)) {
        if (name.includes('running_')) continue;
        const ours = values(tensors.get(name) as Tensor);
        assert.equal(ours.length, expected.length);
        for (const [i, value] of expected.entries()) {
          sums.apart += ((ours[i] as number) - value) ** 2;
          sums.whole += value ** 2;
          sums.moved += (value - (found.weights.before[name]?.[i] as number)) ** 2;
        }
      }
      const [error, movement] = [Math.sqrt(sums.apart / sums.whole), Math.sqrt(sums.apart / sums.moved)];
      t.diagnostic(
        `relative error of the weights ${error.toExponential(1)}, of their movement ${movement.toExponential(1)}`,
      );
      assert.ok(error < 1e-3 && movement < 0.05);
    });
  });
}
