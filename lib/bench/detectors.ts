/** What each detector costs beyond the plain pass: its own passes of the images, and scoring what is stored. */
import { join } from 'node:path';
import type { Needs } from '../detectors/detector.js';
import { getDetector, resolveParameters } from '../detectors/index.js';
import { PLAIN, passId } from '../features/pass.js';
import { FeatureFile } from '../features/store.js';
import { startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { evaluate } from '../run/evaluate.js';
import type { DetectorChoice, PassFiles } from '../run/types.js';
import { writeMadeUpFeatures } from './made-up-features.js';
import { type BenchedNetwork, type Extra, measureExtra, plainFile, type Speed } from './passes.js';

/** Rows of the training data: what kNN searches, and statistics come from. */
export const BANK = 10_000;
/** Rows of the evaluated set, and of the one it is set against. */
const ROWS = 2_000;
/** The step of mahalanobis where its parameters leave it to tuning: the paper's for ODIN, and one of the tuned ones. */
const STEP = 0.0014;

/** Of one detector, for an image. */
export interface DetectorCost {
  detector: string;
  /** Seconds that its own passes take beyond the plain one. */
  passSeconds: number;
  /** Seconds that its score takes from what is stored, metrics included. */
  scoreSeconds: number;
  /** Both, as a multiple of the plain pass. */
  multiple: number;
}

/** Made-up features of one network, from which detectors score. */
export interface ScoringFiles {
  train: string;
  test: string;
  out: string;
  /** Class means and covariances of `train`, once somebody asked for them. */
  statistics?: string | undefined;
}

/**
 * Files as wide as the network's own, which a plain pass has left.
 *
 * @throws ModeEnsembleError E_IO, E_DATA
 */
export async function writeScoringFiles(network: BenchedNetwork): Promise<ScoringFiles> {
  const like = await FeatureFile.open(plainFile(network));
  const write = async (name: string, rows: number, seed: number) => {
    const path = join(network.folder, `${name}.safetensors`);
    await writeMadeUpFeatures(like, { path, rows, seed });
    return path;
  };
  return {
    // A covariance needs images of every class.
    train: await write('train', Math.max(BANK, 2 * network.classes), 1),
    test: await write('test', ROWS, 2),
    out: await write('out', ROWS, 3),
  };
}

/** The parameters of a detector as they are measured: what is left to tuning is a step. */
export function benchedChoice(choice: DetectorChoice): DetectorChoice {
  return choice.parameters.magnitude === 'tuned'
    ? { ...choice, parameters: { ...choice.parameters, magnitude: STEP } }
    : choice;
}

/** Whether a score is one of the stages' distances from the training data; RankFeat needs the stages' maps alone. */
export function scoresFromDistances({ stages, fit }: Needs): boolean {
  return stages && fit === 'train';
}

/**
 * @param plain the plain pass of the same network
 * @throws ModeEnsembleError what an extraction and an evaluation throw
 */
export async function measureDetector(
  network: BenchedNetwork,
  plain: Speed,
  choice: DetectorChoice,
  files: ScoringFiles,
): Promise<DetectorCost> {
  const detector = getDetector(choice.name);
  const parameters = resolveParameters(detector, choice.parameters);
  const needs = detector.needs(parameters);
  const { passes } = needs;
  const readsDistances = scoresFromDistances(needs);
  const magnitude = readsDistances ? Number(parameters.magnitude) : 0;
  if (readsDistances) files.statistics ??= await fitStatistics(network, files);
  const { statistics = '' } = files;
  const extra: Extra = {
    passes: passes.filter((pass) => passId(pass) !== passId(PLAIN)),
    steps: magnitude > 0 ? { statistics, magnitude } : undefined,
  };
  const hasOwn = extra.passes.length > 0 || extra.steps !== undefined;
  // Told as seconds by the speed of the plain pass that the table states, so that its columns agree.
  const passSeconds = hasOwn ? (await measureExtra(network, extra, plain)) / plain.median : 0;
  // After a step the distances are there with the pass, and what follows is a logistic function.
  const score = readsDistances
    ? () => (magnitude > 0 ? undefined : storedDistances(network, statistics, files))
    : () => evaluateOnce(network, { ...choice, parameters }, passes.map(passId), files);
  const scoreSeconds = (await repeat(score, network.seconds / 3)) / (2 * ROWS);
  const multiple = (passSeconds + scoreSeconds) * plain.median;
  return { detector: choice.label ?? choice.name, passSeconds, scoreSeconds, multiple };
}

/** Seconds of the middle run; the first sets up what the others find. */
async function repeat(work: () => Promise<unknown> | undefined, seconds: number): Promise<number> {
  const times: number[] = [];
  const began = performance.now();
  do {
    const start = performance.now();
    const running = work();
    if (running === undefined) return 0;
    await running;
    times.push((performance.now() - start) / 1000);
  } while (times.length < 3 || (performance.now() - began) / 1000 < seconds);
  const later = times.slice(1).sort((a, b) => a - b);
  return later[later.length >> 1] as number;
}

async function evaluateOnce(
  { threads, arch, hooks }: BenchedNetwork,
  choice: DetectorChoice,
  passes: readonly string[],
  { train, test, out }: ScoringFiles,
): Promise<void> {
  const all = (path: string): PassFiles =>
    Object.fromEntries([...passes, passId(PLAIN)].map((pass) => [pass, path] as const));
  const member = { name: 'made-up', arch: arch.id, train: all(train), test: all(test), out: { noise: all(out) } };
  const { signal } = hooks;
  await evaluate({ in: 'made-up', members: [member], ensembles: [], detectors: [choice], threads }, { signal });
}

async function fitStatistics(network: BenchedNetwork, { train }: ScoringFiles): Promise<string> {
  const { classes, threads, folder, hooks } = network;
  const output = join(folder, 'statistics.safetensors');
  const { stages } = await FeatureFile.open(train);
  const options = { train: [train], stages, classes, output, metadata: {}, threads };
  await startJob((sink) => getAddon().fitGaussians(options, sink), hooks).done;
  return output;
}

async function storedDistances(
  { threads, hooks }: BenchedNetwork,
  statistics: string,
  { train, test, out }: ScoringFiles,
): Promise<void> {
  const { stages } = await FeatureFile.open(train);
  const options = { statistics, sets: [[test], [out]], stages, threads };
  await startJob((sink) => getAddon().gaussianScores(options, sink), hooks).done;
}
