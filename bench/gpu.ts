/**
 * Images per second on a GPU, of training steps and of extraction, on made-up data. Not part of `npm test`; run it with
 * `node dist/bench/gpu.js [--device cuda:0] [--networks …] [--precisions …]`. The last lines are a table.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { trainSchema } from '../lib/config/recipes.js';
import { openData } from '../lib/data/open.js';
import { archOptions, resolveArch } from '../lib/modes/arch.js';
import { recipeOptions } from '../lib/modes/job-settings.js';
import type { Precision, StepEvent } from '../lib/native/contract.js';
import { resolveDevice } from '../lib/native/device.js';
import { getAddon } from '../lib/native/load.js';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    networks: { type: 'string', default: 'cifar-resnet18,wrn-28-10,resnet50,densenet121' },
    precisions: { type: 'string', default: 'float32,tf32,bfloat16' },
  },
});
const addon = getAddon();
const device = resolveDevice(values.device, { where: '--device' });
const threads = availableParallelism();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-bench-gpu-'));

interface Case {
  classes: number;
  size: number;
  batch: number;
}

const CASES: Record<string, Case> = {
  'cifar-resnet18': { classes: 10, size: 32, batch: 256 },
  'wrn-28-10': { classes: 10, size: 32, batch: 256 },
  resnet50: { classes: 1000, size: 224, batch: 128 },
  densenet121: { classes: 1000, size: 224, batch: 128 },
};
const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

/** Steps in one report, and reports; the first is of tuning and recording, and does not count. */
const STEPS = 20;
const REPORTS = 4;

async function measure(name: string, { classes, size, batch }: Case, precision: Precision) {
  using train = await openData(`made-up:${size}/${classes}/${batch * STEPS * REPORTS}?split=train`);
  using test = await openData(`made-up:${size}/${classes}/${10 * batch * STEPS}?split=test`);
  const arch = archOptions(resolveArch(name), classes);
  const transform = { ...resolveArch(name).transform, resize: size, fit: 'both' as const, crop: size };
  const checkpoint = join(folder, `${name}-${precision}.safetensors`);
  const speeds: number[] = [];
  const waits: number[] = [];
  const place = { transform, device, precision, threads, workers: threads, metadata: {} };
  const recipe = recipeOptions(trainSchema.parse({ epochs: 1, batchSize: batch, learningRate: 0.01 }));
  const job = addon.train(
    {
      ...{ ...recipe, ...place, arch, seed: 0, train: train.handle, test: test.handle, checkpoint },
      ...{ saving: { saveEpochs: 0, stateSteps: 0, stateMinutes: 0, keepStates: 1, folder: '' }, reportSteps: STEPS },
      ...{ ranks: null, evaluate: false, resume: '' },
    },
    (event) => {
      if (event.type === 'log') process.stderr.write(`${name}, ${precision}: ${event.message}\n`);
      if (event.type !== 'step') return;
      const { imagesPerSecond, dataWait } = event as StepEvent;
      speeds.push(imagesPerSecond);
      waits.push(dataWait);
    },
  );
  await job.done;
  const path = join(folder, 'features.safetensors');
  const pass = { kind: 'plain' as const, temperature: 1, magnitude: 0, gradient: 'own' as const };
  const outputs = [{ pass, path, storage: 'float32' as const, metadata: {} }];
  const extract = () =>
    addon.extract(
      { ...place, members: [{ arch, checkpoint, outputs, stageScores: [] }], data: test.handle, batchSize: batch },
      () => {},
    ).done;
  await extract(); // cuDNN's choices
  const { count, seconds } = await extract();
  return { train: median(speeds.slice(1)), wait: median(waits.slice(1)), extract: count / seconds };
}

try {
  const rows: string[] = [];
  for (const name of values.networks.split(',')) {
    const given = CASES[name];
    if (!given) throw new Error(`--networks: expected some of ${Object.keys(CASES).join(', ')}, found ${name}`);
    for (const precision of values.precisions.split(',') as Precision[]) {
      const { train, wait, extract } = await measure(name, given, precision);
      const numbers = [train.toFixed(0).padStart(14), `${(100 * wait).toFixed(0)} %`.padStart(12)];
      rows.push([name.padEnd(16), precision.padEnd(10), ...numbers, extract.toFixed(0).padStart(16)].join(' '));
    }
  }
  const { libtorch, gpus } = addon.info();
  console.log(`\n${device === 'cpu' ? 'CPU' : gpus[Number(device.slice('cuda:'.length))]}; LibTorch ${libtorch}`);
  console.log('network          precision  train images/s  waits for     extract images/s');
  console.log('                                            the loader');
  for (const row of rows) console.log(row);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
