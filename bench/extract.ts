/**
 * Speed of an extraction's plain pass (loader, stage averages, feature file and all) beside Python PyTorch's forward pass (images in
 * memory, logits alone), in turn on the same machine:
 *
 *   npm run bench:extract -- [--networks cifar-resnet18,wrn-28-10,resnet50,densenet121] [--rounds 3] [--python python3]
 *     [--compiled] [--precisions float32,bfloat16] [--batches 4]
 *
 * Prints images per second (the median of the rounds; a round of ours is an extraction of `--batches`, from the first image to the
 * file; weights are laid out once before, as for all sets of an evaluation and as Python's are), the ratios to Python's ways, and which
 * share of the GEMM peak the multiply-adds of a plain forward pass would take. `--compiled` adds torch.compile with freezing, which takes minutes.
 * Without a Python that has torch, ours alone.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openData } from '../lib/data/open.js';
import { PLAIN } from '../lib/features/index.js';
import { archOptions, resolveArch } from '../lib/modes/arch.js';
import { keepBetweenJobs } from '../lib/native/between-jobs.js';
import type { ArchOptions, Precision } from '../lib/native/contract.js';
import { getAddon } from '../lib/native/load.js';
import { initWeights } from '../test/helpers/networks.js';
import { median, show, startPython } from './python.js';

const { values } = parseArgs({
  options: {
    networks: { type: 'string', default: 'cifar-resnet18,wrn-28-10,resnet50,densenet121' },
    precisions: { type: 'string', default: 'float32,bfloat16' },
    rounds: { type: 'string', default: '3' },
    python: { type: 'string', default: 'python3' },
    compiled: { type: 'boolean', default: false },
    batches: { type: 'string', default: '4' },
  },
});
const rounds = Number(values.rounds);
const threads = availableParallelism();
const addon = getAddon();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-'));
using _kept = keepBetweenJobs(addon);

/** What a CPU has. */
type OnCpu = Exclude<Precision, 'float32-plain' | 'tf32' | 'float16'>;

interface Case {
  /** Multiply-adds of one image's forward pass, in 10⁹ (PyTorch's shapes: convolutions and the last layer). */
  gmac: number;
  classes: number;
  size: number;
  batch: number;
  /** At least so many times the reference's way. */
  target: Record<OnCpu, number | undefined>;
}

const CASES: Record<string, Case> = {
  'cifar-resnet18': { gmac: 0.556, classes: 10, size: 32, batch: 256, target: { float32: 2, bfloat16: 3.8 } },
  'wrn-28-10': { gmac: 5.25, classes: 10, size: 32, batch: 64, target: { float32: 1.3, bfloat16: undefined } },
  resnet50: { gmac: 4.09, classes: 1000, size: 224, batch: 32, target: { float32: 2.4, bfloat16: 4.8 } },
  densenet121: { gmac: 2.83, classes: 1000, size: 224, batch: 32, target: { float32: 1.8, bfloat16: 4.2 } },
};
/** Python's ways; the first is what targets are relative to. */
const WAYS: Record<OnCpu, readonly string[]> = {
  float32: ['reference', 'channels-last', ...(values.compiled ? ['compiled'] : [])],
  bfloat16: ['reference', 'autocast', ...(values.compiled ? ['compiled-bfloat16'] : [])],
};

/** Images per second of one extraction. */
async function ours(arch: ArchOptions, checkpoint: string, precision: OnCpu, given: Case): Promise<number> {
  const count = given.batch * Number(values.batches);
  using set = await openData(`made-up:${given.size}/${given.classes}/${count}?split=train`);
  const path = join(folder, 'features.safetensors');
  const outputs = [{ pass: PLAIN, path, storage: 'float32' as const, metadata: {} }];
  const transform = {
    ...{ resize: given.size, fit: 'both' as const, filter: 'bilinear' as const, crop: given.size },
    ...{ mean: [0.5, 0.5, 0.5] as const, std: [0.25, 0.25, 0.25] as const },
  };
  const job = addon.extract(
    {
      ...{
        members: [{ arch, checkpoint, outputs, stageScores: [] }],
        data: set.handle,
        batchSize: given.batch,
        device: 'cpu',
        precision,
      },
      ...{ transform: { ...transform, mean: [...transform.mean], std: [...transform.std] }, threads, workers: 1 },
    },
    () => {},
  );
  const { seconds } = await job.done;
  return count / seconds;
}

interface Answer {
  imagesPerSecond: number;
  gemm: number;
  torch: string;
}

const python = startPython(values.python, 'extract.py', String(threads));
console.log(
  `${cpus()[0]?.model}, ${threads} threads, LibTorch ${addon.info().libtorch}, Node ${process.versions.node}`,
);
try {
  for (const name of values.networks.split(',')) {
    const given = CASES[name];
    if (!given) throw new Error(`--networks: expected some of ${Object.keys(CASES).join(', ')}, found ${name}.`);
    const arch = archOptions(resolveArch(name), given.classes);
    const checkpoint = join(folder, `${name}.safetensors`);
    await initWeights(arch, 1, checkpoint);
    for (const precision of values.precisions.split(',') as OnCpu[]) {
      const ways = WAYS[precision];
      const speeds = new Map<string, number[]>([['ours', []], ...ways.map((way): [string, number[]] => [way, []])]);
      let gemm = Number.NaN;
      await ours(arch, checkpoint, precision, given);
      for (let round = 0; round < rounds; round++) {
        speeds.get('ours')?.push(await ours(arch, checkpoint, precision, given));
        for (const way of python ? ways : []) {
          const { size, classes, batch } = given;
          const answer = await python?.ask<Answer>({ arch: name, size, classes, batch, way, rounds: 3 });
          speeds.get(way)?.push(answer?.imagesPerSecond ?? Number.NaN);
          if (way !== 'reference') gemm = answer?.gemm ?? Number.NaN;
        }
      }
      const own = median(speeds.get('ours') ?? []);
      const share = (own * 2 * given.gmac) / gemm;
      console.log(`${name} ${precision}: ${show(own)} images/s (${speeds.get('ours')?.map(show).join(', ')})`);
      if (!python) continue;
      for (const way of ways) {
        const other = median(speeds.get(way) ?? []);
        const target = way === 'reference' ? given.target[precision] : undefined;
        const asked = way.startsWith('compiled') ? 1 : target;
        const verdict = asked === undefined ? '' : ` (target ${asked}: ${own / other >= asked ? 'met' : 'MISSED'})`;
        console.log(`  ${way}: ${show(other)}, ratio ${(own / other).toFixed(2)}${verdict}`);
      }
      console.log(
        `  GEMM peak ${show(gemm)} GFLOP/s; a plain pass's multiply-adds take ${(share * 100).toFixed(0)} % of it`,
      );
    }
  }
} finally {
  python?.end();
  rmSync(folder, { recursive: true, force: true });
}
