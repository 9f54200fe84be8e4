/** How long passes of images through a network take: noise from memory, and everything else as in an extraction. */
import { join } from 'node:path';
import { openData } from '../data/open.js';
import { type Pass, PLAIN, passId } from '../features/pass.js';
import { archOptions, type ModeArch } from '../modes/arch.js';
import type { Precision, StageScoresOutput } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';

/** What is the same in all measurements of one network. */
export interface BenchedNetwork {
  arch: ModeArch;
  classes: number;
  checkpoint: string;
  precision: Precision;
  batchSize: number;
  threads: number;
  workers: number;
  /** Of one measurement, about. */
  seconds: number;
  /** Where the feature files go, each over the one before. */
  folder: string;
  hooks: JobHooks;
}

/** What is made of each image besides the plain pass. */
export interface Extra {
  passes: readonly Pass[];
  /** Mahalanobis scores after a step: the file of the statistics, and the step. */
  steps?: { statistics: string; magnitude: number } | undefined;
}

/** Images a second. */
export interface Speed {
  /** Of several runs the middle one, the slowest and the fastest. */
  median: number;
  lowest: number;
  highest: number;
  /** How many runs, and images in each of them. */
  runs: number;
  images: number;
}

/** A measurement is divided into so many runs. */
const RUNS = 3;

/** @throws ModeEnsembleError what an extraction throws */
export async function measurePasses(network: BenchedNetwork, extra: Extra = { passes: [] }): Promise<Speed> {
  const { batchSize, seconds: wanted } = network;
  // The first run sets up what the others find. Where it was short that is much of it, and a second one tells the rate.
  const first = await extract(network, extra, batchSize);
  const rate = batchSize / (first < wanted ? Math.min(first, await extract(network, extra, batchSize)) : first);
  const images = batchSize * Math.max(1, Math.round((rate * wanted) / RUNS / batchSize));
  const speeds: number[] = [];
  for (let spent = 0; speeds.length === 0 || (spent < wanted && speeds.length < RUNS); ) {
    const taken = await extract(network, extra, images);
    spent += taken;
    speeds.push(images / taken);
  }
  speeds.sort((a, b) => a - b);
  const at = (index: number) => speeds[index] as number;
  const [lowest, highest] = [at(0), at(speeds.length - 1)];
  return { median: at(speeds.length >> 1), lowest, highest, runs: speeds.length, images };
}

/**
 * What `extra` costs: the middle one of differences between an extraction with it and a plain one right after it, as the machine's
 * speed changes from one minute to the next.
 *
 * @returns as a multiple of the plain pass
 * @throws ModeEnsembleError what an extraction throws
 */
export async function measureExtra(network: BenchedNetwork, extra: Extra, plain: Speed): Promise<number> {
  const { batchSize, seconds: wanted } = network;
  await extract(network, extra, batchSize);
  const images = batchSize * Math.max(1, Math.round((plain.median * wanted) / (2 * RUNS) / batchSize));
  const found: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const [more, less] = [await extract(network, extra, images), await extract(network, { passes: [] }, images)];
    found.push(Math.max(0, more / less - 1));
  }
  found.sort((a, b) => a - b);
  return found[RUNS >> 1] as number;
}

/** The file that the latest plain pass of a network left. */
export function plainFile({ folder }: Pick<BenchedNetwork, 'folder'>): string {
  return join(folder, 'plain.safetensors');
}

/** Seconds of one extraction: loader, network, averages and files. */
async function extract(network: BenchedNetwork, { passes, steps }: Extra, images: number): Promise<number> {
  const { arch, classes, checkpoint, precision, batchSize, threads, workers, folder, hooks } = network;
  const { transform } = arch;
  using data = await openData(`made-up:${transform.crop}/${classes}/${images}?split=train`, hooks);
  const outputs = [PLAIN, ...passes].map((pass) => {
    const path = pass === PLAIN ? plainFile(network) : join(folder, `${passId(pass).replaceAll(' ', '-')}.safetensors`);
    return { pass, path, storage: 'float32' as const, metadata: { key: 'bench' } };
  });
  const stageScores: StageScoresOutput[] = steps
    ? [
        {
          statistics: steps.statistics,
          magnitudes: [steps.magnitude],
          path: join(folder, 'steps.safetensors'),
          metadata: {},
        },
      ]
    : [];
  const options = {
    members: [{ arch: archOptions(arch, classes), checkpoint, outputs, stageScores }],
    data: data.handle,
    transform,
    batchSize,
    device: 'cpu',
    precision,
    threads,
    workers,
  };
  return (await startJob((sink) => getAddon().extract(options, sink), hooks).done).seconds;
}
