/**
 * Training speed, ours (loader, augmentation and all) and Python PyTorch's (tensors in memory, no loader) in turn on the same machine:
 *
 *   npm run bench:train -- [--networks cifar-resnet18,wrn-28-10,resnet50,densenet121] [--precisions bfloat16,float32] [--rounds 3]
 *     [--python python3]
 *
 * Each round takes a few steps, the first of which does not count. Prints images per second (the median of the rounds), the ratios to
 * Python's ways (bench/train.py), and which share of the GEMM peak the multiply-adds take. Without a Python that has torch, ours alone.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openData } from '../lib/data/open.js';
import { archOptions, resolveArch } from '../lib/modes/arch.js';
import type { Precision, StepEvent } from '../lib/native/contract.js';
import { getAddon } from '../lib/native/load.js';
import { recipe, UNSAVED } from '../test/helpers/native.js';
import { median, show, startPython } from './python.js';

const { values } = parseArgs({
  options: {
    networks: { type: 'string', default: 'cifar-resnet18,wrn-28-10,resnet50,densenet121' },
    precisions: { type: 'string', default: 'bfloat16,float32' },
    rounds: { type: 'string', default: '3' },
    python: { type: 'string', default: 'python3' },
  },
});
const rounds = Number(values.rounds);
const threads = availableParallelism();
const addon = getAddon();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-'));

/** What a CPU has. */
type OnCpu = Exclude<Precision, 'float32-plain' | 'tf32' | 'float16'>;

interface Case {
  /** Multiply-adds of one image's forward pass, in 10⁹; a training step takes three times as many. */
  gmac: number;
  classes: number;
  size: number;
  batch: number;
  /** That count, behind one that does not. */
  steps: number;
  /** Asked of ours in bfloat16: at least so many times the reference's loop. */
  target: number;
}

const CASES: Record<string, Case> = {
  'cifar-resnet18': { gmac: 0.556, classes: 10, size: 32, batch: 128, steps: 8, target: 2.4 },
  'wrn-28-10': { gmac: 5.25, classes: 10, size: 32, batch: 64, steps: 3, target: 1.8 },
  resnet50: { gmac: 4.09, classes: 1000, size: 224, batch: 32, steps: 4, target: 2.4 },
  densenet121: { gmac: 2.83, classes: 1000, size: 224, batch: 32, steps: 4, target: 2.1 },
};

interface Way {
  name: string;
  /** At least so many times as fast, where that is asked for. */
  asked?: (given: Case) => number;
}

/** Python's ways beside each of our precisions. */
const WAYS: Record<OnCpu, readonly Way[]> = {
  bfloat16: [
    { name: 'reference', asked: ({ target }) => target },
    { name: 'autocast', asked: () => 1 },
  ],
  float32: [{ name: 'reference' }, { name: 'channels-last', asked: () => 1.15 }],
};

/** Images per second: the median of the steps after the first. */
async function ours(name: string, precision: OnCpu, given: Case): Promise<number> {
  const { size, classes, batch, steps } = given;
  using train = await openData(`made-up:${size}/${classes}/${batch * (steps + 1)}?split=train`);
  using test = await openData(`made-up:${size}/${classes}/10?split=test`);
  const plan = resolveArch(name);
  const speeds: number[] = [];
  const job = addon.train(
    {
      arch: archOptions(plan, classes),
      seed: 0,
      train: train.handle,
      test: test.handle,
      transform: { ...plan.transform, resize: size, fit: 'both', crop: size },
      ...recipe({ epochs: 1, batchSize: batch, learningRate: 0.01, weightDecay: 1e-4, precision }),
      saving: UNSAVED,
      reportSteps: 1,
      device: 'cpu',
      threads,
      workers: threads,
      ranks: null,
      checkpoint: join(folder, 'checkpoint.safetensors'),
      evaluate: false,
      resume: '',
      metadata: {},
    },
    (event) => void (event.type === 'step' && speeds.push((event as StepEvent).imagesPerSecond)),
  );
  await job.done;
  return median(speeds.slice(1));
}

interface Answer {
  imagesPerSecond: number;
  gemm: number;
  torch: string;
}

const python = startPython(values.python, 'train.py', String(threads));
const { libtorch, cpuCapability } = addon.info();
console.log(
  `${cpus()[0]?.model}, ${threads} threads, ${cpuCapability}; LibTorch ${libtorch}, Node ${process.versions.node}`,
);
try {
  for (const name of values.networks.split(',')) {
    const given = CASES[name];
    if (!given) throw new Error(`--networks: expected some of ${Object.keys(CASES).join(', ')}, found ${name}.`);
    for (const precision of values.precisions.split(',') as OnCpu[]) {
      const ways = WAYS[precision];
      const own: number[] = [];
      const theirs = new Map(ways.map((way): [Way, number[]] => [way, []]));
      let gemm = Number.NaN;
      for (let round = 0; round < rounds; round++) {
        own.push(await ours(name, precision, given));
        for (const [way, speeds] of python ? theirs : []) {
          const { size, classes, batch, steps } = given;
          const answer = await python?.ask<Answer>({ arch: name, size, classes, batch, way: way.name, steps });
          speeds.push(answer?.imagesPerSecond ?? Number.NaN);
          if (way !== ways[0]) gemm = answer?.gemm ?? Number.NaN;
        }
      }
      const mine = median(own);
      console.log(`${name} ${precision}, batch ${given.batch}: ${show(mine)} images/s (${own.map(show).join(', ')})`);
      if (!python) continue;
      for (const [way, speeds] of theirs) {
        const ratio = mine / median(speeds);
        const asked = way.asked?.(given);
        const verdict = asked === undefined ? '' : ` (target ${asked}: ${ratio >= asked ? 'met' : 'MISSED'})`;
        console.log(
          `  ${way.name}: ${show(median(speeds))} (${speeds.map(show).join(', ')}), ratio ${ratio.toFixed(2)}${verdict}`,
        );
      }
      const share = (mine * 6 * given.gmac) / gemm;
      console.log(`  GEMM peak ${show(gemm)} GFLOP/s; the multiply-adds take ${(share * 100).toFixed(0)} % of it`);
    }
  }
} finally {
  python?.end();
  rmSync(folder, { recursive: true, force: true });
}
