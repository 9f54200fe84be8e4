/** What the steps of a run take on this machine, from a few batches of noise. Seconds, and bytes. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode } from '../config/errors.js';
import { SEARCH_MEMORY } from '../config/schema.js';
import { openData } from '../data/open.js';
import { PLAIN } from '../features/pass.js';
import { FeatureFile, FeatureStore } from '../features/store.js';
import { safetensorsHead, type TensorPlan, tensorBytes, writeSafetensors } from '../features/write-safetensors.js';
import { archOptions } from '../modes/arch.js';
import { checkpointIn } from '../modes/find.js';
import { trainMode } from '../modes/train.js';
import type { Addon } from '../native/contract.js';
import { resolveDevice } from '../native/device.js';
import { startJob } from '../native/job.js';
import { type Plan, passesOf } from './experiment.js';
import { type ExtractedMember, extractSet, type StageHooks } from './extract.js';

/** Images of a batch that is tried, by the side of the images: some seconds for the largest networks. */
const TRIED = (side: number) => (side >= 128 ? 4 : 16);
/** A training is tried with four times as many images until it takes so long, in seconds: small networks are done before threads are awake. */
const LONG_ENOUGH = 1;
const MOST_IMAGES = 16_384;
/** Of a bank of random vectors, and of queries against it. */
const BANK = 4096;
const QUERIES = 256;

export interface Costs {
  /** Images a second of a training, and bytes that it takes at its batch size. */
  trainRate: number;
  trainMemory: number;
  /** Of the checkpoint; the state of a training takes up to three times as much while it goes on. */
  checkpointBytes: number;
  /** Images a second of all passes, and of the plain one; bytes of features that an image leaves. */
  extractRate: number;
  plainRate: number;
  rowBytes: number;
  plainRowBytes: number;
  extractMemory: number;
  /** Seconds for a query and a row of the bank, of one mode. */
  pairSeconds: number;
}

/** @throws ModeEnsembleError E_MEMORY where not even a small batch fits, E_ABORTED */
export async function measureCosts(plan: Plan, classes: number, addon: Addon, hooks: StageHooks): Promise<Costs> {
  const { arch, transform, experiment, detectors } = plan;
  const { threads, workers, evaluate, train } = experiment;
  const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-measure-'));
  const batch = Math.min(train.batchSize, TRIED(transform.crop));
  const signal = hooks.signal;
  const device = measuringDevice(experiment, addon);
  try {
    using test = await openData(`made-up:${transform.crop}/${classes}/${batch}`, { split: 'test', addon });
    const before = peak();
    const { parameters } = addon.measureArchitecture(archOptions(arch, classes));
    const settings = { ...train, epochs: 1, batchSize: batch, warmupEpochs: 0, cooldownEpochs: 0 };
    const tried = { arch, seed: 0, test, settings, transform, device, threads, workers, addon };
    let trainRate = 0;
    let checkpoint = '';
    let images = 3 * batch;
    for (; ; images *= 4) {
      using noise = await openData(`made-up:${transform.crop}/${classes}/${images}`, { split: 'train', addon });
      const place = join(folder, String(images));
      const { result } = await trainMode({ ...tried, train: noise, folder: place }, { signal });
      checkpoint = checkpointIn(place);
      trainRate = result?.imagesPerSecond ?? 0;
      if (images / trainRate > LONG_ENOUGH || images * 4 > MOST_IMAGES) break;
    }
    using noise = await openData(`made-up:${transform.crop}/${classes}/${images}`, { split: 'train', addon });
    // Weights, gradients and what the optimizer keeps do not grow with the batch.
    const fixed = (train.optimizer === 'adamw' ? 16 : 12) * parameters;
    const bytesOfImages = Math.max(0, peak() - before - fixed);
    const member: ExtractedMember = { name: '0', checkpoint, weightsHash: '0'.repeat(64), arch, transform, classes };
    const of = async (name: string, passes: ReturnType<typeof passesOf>) => {
      const store = new FeatureStore(folder);
      const shared = { members: [member], passes, store, batchSize: batch, precision: evaluate.precision };
      const own = { ...shared, storage: evaluate.storage, device, threads, workers, addon };
      const made = { made: 0, reused: 0, madePaths: [] as string[] };
      const began = performance.now();
      await extractSet(own, { ...noise, fingerprint: name }, name, made, { signal });
      const seconds = (performance.now() - began) / 1000;
      const bytes = made.madePaths.reduce((sum, path) => sum + statSync(path).size, 0);
      return { rate: noise.count / seconds, bytes: bytes / noise.count, paths: made.madePaths };
    };
    const beforeExtract = peak();
    // The first pass also pays for opening the network.
    await of('warm-up', [PLAIN]);
    const plain = await of('plain', [PLAIN]);
    const all = await of('all', passesOf(detectors));
    const extractImages = Math.max(0, peak() - beforeExtract) / batch;
    const file = await FeatureFile.open(plain.paths[0] as string);
    return {
      trainRate,
      trainMemory: process.memoryUsage().rss + fixed + (bytesOfImages / batch) * train.batchSize,
      checkpointBytes: statSync(checkpoint).size,
      extractRate: all.rate,
      plainRate: plain.rate,
      rowBytes: all.bytes,
      plainRowBytes: plain.bytes,
      extractMemory: process.memoryUsage().rss + extractImages * evaluate.batchSize,
      pairSeconds: await measurePairs(folder, file, threads, addon),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What is not to be found here is estimated on the CPU. */
function measuringDevice({ device }: Plan['experiment'], addon: Addon): string {
  try {
    return resolveDevice(device, { addon });
  } catch (error) {
    if (!hasCode(error, 'E_DEVICE')) throw error;
    return 'cpu';
  }
}

function peak(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Random vectors as wide as the penultimate feature: without structure the search has least to go by. */
async function measurePairs(folder: string, like: FeatureFile, threads: number, addon: Addon): Promise<number> {
  const tensor = like.penultimate;
  const width = like.shape(tensor)?.[1];
  if (tensor === '' || width === undefined) return 0;
  const write = async (name: string, rows: number) => {
    const path = join(folder, name);
    const plan: TensorPlan = { name: tensor, dtype: 'F32', shape: [rows, width] };
    const values = Float32Array.from({ length: rows * width }, () => Math.random());
    const bytes = new Uint8Array(values.buffer, 0, tensorBytes(plan));
    await writeSafetensors(path, safetensorsHead([plan], { key: name, penultimate: tensor }), (append) =>
      append(bytes),
    );
    return path;
  };
  const bank = await write('bank.safetensors', BANK);
  const queries = await write('queries.safetensors', QUERIES);
  const options = { bank: [bank], queries: [[queries]], tensor, k: 50, threads, memory: SEARCH_MEMORY };
  const began = performance.now();
  await startJob((sink) => addon.neighbours(options, sink), {}).done;
  return (performance.now() - began) / 1000 / (BANK * QUERIES);
}
