/**
 * Training speed, ours (loader, augmentation and all) and Python PyTorch's (tensors in memory) in turn:
 *
 *   npm run bench:train -- [--width 64] [--rounds 3] [--python python3]
 *
 * Without a Python that has torch, ours alone. Prints the median of the rounds and the ratio.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { resolveArch } from '../lib/modes/arch.js';
import type { DataHandle, EpochEvent, Precision } from '../lib/native/contract.js';
import { getAddon } from '../lib/native/load.js';
import { recipe, UNSAVED } from '../test/helpers/native.js';

const BATCH = 128;
const STEPS = 10;

const { values } = parseArgs({
  options: {
    width: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    python: { type: 'string', default: 'python3' },
  },
});
const width = Number(values.width);
const rounds = Number(values.rounds);
const threads = availableParallelism();
const addon = getAddon();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-'));

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/**
 * GFLOP of an image's training step in the convolutions: two operations a multiply-add; forward, gradient of the input
 * and gradient of the weights cost the same (the stem has no gradient of its input).
 */
function trainingGflop(w: number): number {
  let total = 2 * (2 * 32 * 32 * 9 * 3 * w);
  let inputs = w;
  for (let layer = 0, side = 32; layer < 4; layer++) {
    const outputs = w << layer;
    if (layer > 0) side /= 2;
    const pixels = side * side;
    const shortcut = layer > 0 ? inputs * outputs : 0;
    total += 3 * 2 * pixels * (9 * inputs * outputs + shortcut + 3 * 9 * outputs * outputs);
    inputs = outputs;
  }
  return total / 1e9;
}

/** CIFAR-10 records with pixels from a linear congruential generator. */
function writeData(): void {
  const records = Buffer.alloc(BATCH * STEPS * 3073);
  let state = 1;
  for (let i = 0; i < records.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    records[i] = i % 3073 === 0 ? (i / 3073) % 10 : state >>> 24;
  }
  writeFileSync(join(folder, 'data_batch_1.bin'), records);
  writeFileSync(join(folder, 'test_batch.bin'), records.subarray(0, 3073));
}

function open(split: string): Promise<{ handle: DataHandle }> {
  return addon.openData(
    { reader: 'cifar10', path: folder, split, labels: '', root: '', cache: '', threads: 1, skipBadImages: false },
    () => {},
  ).done;
}

/** The first epoch is warm-up; images per second of the second. */
async function ours(precision: Precision): Promise<number> {
  const [train, test] = [await open('train'), await open('test')];
  const epochs: EpochEvent[] = [];
  const job = addon.train(
    {
      arch: { name: 'cifar-resnet18', width, classes: 10, dropout: 0 },
      seed: 0,
      train: train.handle,
      test: test.handle,
      transform: resolveArch('cifar-resnet18').transform,
      ...recipe({ epochs: 2, batchSize: BATCH, learningRate: 0.1, weightDecay: 1e-4, precision }),
      saving: UNSAVED,
      reportSteps: STEPS,
      threads,
      workers: 2,
      checkpoint: join(folder, 'checkpoint.safetensors'),
      ranks: null,
      resume: '',
      metadata: {},
    },
    (event) => {
      if (event.type === 'epoch') epochs.push(event);
    },
  );
  await job.done;
  return epochs[1]?.imagesPerSecond ?? Number.NaN;
}

function python(precision: Precision): { imagesPerSecond: number; gemm: number; torch: string } | undefined {
  const args = ['bench/train.py', precision, String(width), String(STEPS), String(threads)];
  const { status, stdout } = spawnSync(values.python, args, { encoding: 'utf8' });
  return status === 0 ? JSON.parse(stdout) : undefined;
}

try {
  writeData();
  const { libtorch, cpuCapability } = addon.info();
  console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${threads} threads, ${cpuCapability}; LibTorch ${libtorch}`);
  console.log(`CIFAR ResNet-18, width ${width}, batch ${BATCH}, ${STEPS} steps, median of ${rounds} rounds`);
  for (const precision of ['bfloat16', 'float32'] as const) {
    const mine: number[] = [];
    const theirs: number[] = [];
    const peaks: number[] = [];
    let version = '';
    for (let round = 0; round < rounds; round++) {
      mine.push(await ours(precision));
      const other = python(precision);
      if (other) {
        theirs.push(other.imagesPerSecond);
        peaks.push(other.gemm);
        version = other.torch;
      }
    }
    console.log(
      `${precision}: ours ${median(mine).toFixed(1)} images/s (rounds ${mine.map((x) => x.toFixed(1)).join(', ')})`,
    );
    if (theirs.length === 0) {
      console.log(`  ${values.python} has no torch: nothing to compare with`);
      continue;
    }
    const peak = median(peaks);
    const share = (median(mine) * trainingGflop(width)) / peak;
    console.log(
      `  PyTorch ${version} ${median(theirs).toFixed(1)}, ratio ${(median(mine) / median(theirs)).toFixed(2)}`,
    );
    console.log(`  GEMM peak ${peak.toFixed(0)} GFLOP/s, of which the convolutions use ${(100 * share).toFixed(0)} %`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
