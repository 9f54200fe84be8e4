/** How fast this machine evaluates: networks, precisions and detectors, beside what a matrix product reaches. */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../config/errors.js';
import type { EvaluateSettings } from '../config/schema.js';
import { VERSION } from '../config/version.js';
import { archOptions, type ModeArch, resolveArch } from '../modes/arch.js';
import { keepBetweenJobs } from '../native/between-jobs.js';
import { startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { chooseDetectors } from '../run/experiment.js';
import type { StageHooks } from '../run/extract.js';
import type { DetectorChoice } from '../run/types.js';
import { benchedChoice, type DetectorCost, measureDetector, writeScoringFiles } from './detectors.js';
import { type BenchedNetwork, measurePasses, type Speed } from './passes.js';
import { type PeakMemory, processPeak, watchPeak } from './peak-memory.js';

export type BenchPrecision = 'float32' | 'bfloat16';

export interface SpeedSettings {
  /** Names as `resolveArch` takes them. */
  archs: readonly string[];
  precisions: readonly BenchPrecision[];
  detectors: EvaluateSettings['detectors'];
  /** Default: 64, and 32 for images of 128 pixels and more. */
  batchSize?: number | undefined;
  threads: number;
  /** Threads that prepare images. */
  workers: number;
  /** Of one measurement, about; a batch is the least. */
  seconds: number;
  /** Takes weights and features; they are not removed. */
  folder: string;
  /** What errors call a field; default: its name. */
  nameField?: ((field: string) => string) | undefined;
}

/** A network in one precision. */
export interface NetworkSpeed {
  arch: string;
  precision: BenchPrecision;
  /** Side of the images, in pixels. */
  size: number;
  classes: number;
  batchSize: number;
  /** Of one image. */
  multiplyAdds: number;
  /** Images a second of the plain pass: loader, network and feature file. */
  speed: Speed;
  /**
   * Two operations a multiply-add, over the speed of the matrix product. More than 1 where convolutions need fewer
   * multiplications than they stand for.
   */
  gemmShare: number;
  /** During the plain pass. */
  peak: PeakMemory;
  detectors: DetectorCost[];
}

export interface SpeedReport {
  version: string;
  libtorch: string;
  node: string;
  cpu: string;
  instructionSet: string;
  threads: number;
  /** The matrix product that speeds are set against: rows and columns, and 10⁹ operations a second. */
  gemm: { size: number; gflops: Partial<Record<BenchPrecision, number>> };
  networks: NetworkSpeed[];
  /** Bytes, of the process since it began. */
  peakBytes: number;
}

const GEMM_SIZE = 3072;
const LARGE_IMAGES = 128;
/** Weights are drawn from it; what a pass costs does not depend on them. */
const SEED = 1;

/**
 * Measures the networks one after the other, with weights drawn anew and images of noise.
 *
 * @throws ModeEnsembleError E_CONFIG for names that are not known, E_MEMORY, E_IO, E_ABORTED
 */
export async function measureSpeed(settings: SpeedSettings, hooks: StageHooks = {}): Promise<SpeedReport> {
  const { precisions, threads, seconds } = settings;
  const where = (field: string) => settings.nameField?.(field) ?? field;
  if (!(seconds > 0 && Number.isFinite(seconds))) {
    throw new ConfigError(`${where('seconds')}: expected a number above 0, found ${seconds}`);
  }
  // Mistyped names show before anything is measured.
  const archs = distinct(settings.archs.map((name) => resolveArch(name, undefined, { where: where('arch') })));
  // The step that ODIN has for small images, for all: without one it is the plain pass.
  const detectors = chooseDetectors(settings.detectors, where('detectors'), 'cifar10').map(benchedChoice);
  const addon = getAddon();
  const gflops: Partial<Record<BenchPrecision, number>> = {};
  for (const precision of precisions) {
    hooks.onStage?.(`matrix product, ${precision}`);
    const options = { size: GEMM_SIZE, precision, threads, seconds };
    gflops[precision] = await startJob((sink) => addon.gemmPeak(options, sink), hooks).done;
  }
  const networks: NetworkSpeed[] = [];
  for (const arch of archs) networks.push(...(await measureNetwork(arch, detectors, gflops, settings, hooks)));
  const { libtorch, cpuCapability } = addon.info();
  return {
    version: VERSION,
    libtorch,
    node: process.versions.node,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    instructionSet: cpuCapability,
    threads,
    gemm: { size: GEMM_SIZE, gflops },
    networks,
    peakBytes: processPeak(),
  };
}

function distinct(archs: readonly ModeArch[]): ModeArch[] {
  return [...new Map(archs.map((arch) => [arch.id, arch])).values()];
}

/** One network, in each precision. */
async function measureNetwork(
  arch: ModeArch,
  detectors: readonly DetectorChoice[],
  gflops: SpeedReport['gemm']['gflops'],
  { precisions, threads, workers, seconds, folder, ...given }: SpeedSettings,
  hooks: StageHooks,
): Promise<NetworkSpeed[]> {
  const addon = getAddon();
  const size = arch.transform.crop;
  const classes = addon.findArchitecture(arch.name)?.classes ?? 1000;
  const { batchSize = size < LARGE_IMAGES ? 64 : 32 } = given;
  const options = archOptions(arch, classes);
  const checkpoint = join(folder, 'weights.safetensors');
  hooks.onStage?.(`${arch.id}: weights and operations`);
  await startJob(
    (sink) => addon.initWeights({ arch: options, seed: SEED, output: checkpoint, metadata: {} }, sink),
    hooks,
  ).done;
  const multiplyAdds = await startJob((sink) => addon.countOperations({ arch: options, size }, sink), hooks).done;
  const rows: NetworkSpeed[] = [];
  let files: Awaited<ReturnType<typeof writeScoringFiles>> | undefined;
  for (const precision of precisions) {
    // Many short extractions, whose own progress would say little.
    const { signal, onLog } = hooks;
    const common = { arch, classes, checkpoint, precision, batchSize, threads, workers, seconds, folder };
    const network: BenchedNetwork = { ...common, hooks: { signal, onLog } };
    using _kept = keepBetweenJobs(addon);
    hooks.onStage?.(`${arch.id} ${precision}: plain pass`);
    const peakSoFar = watchPeak();
    const speed = await measurePasses(network);
    const peak = peakSoFar();
    const gemmShare = (speed.median * 2 * multiplyAdds) / ((gflops[precision] ?? Number.NaN) * 1e9);
    const costs: DetectorCost[] = [];
    for (const choice of detectors) {
      hooks.onStage?.(`${arch.id} ${precision}: ${choice.label ?? choice.name}`);
      files ??= await writeScoringFiles(network);
      costs.push(await measureDetector(network, speed, choice, files));
    }
    const about = { arch: arch.id, precision, size, classes, batchSize, multiplyAdds };
    rows.push({ ...about, speed, gemmShare, peak, detectors: costs });
  }
  return rows;
}
