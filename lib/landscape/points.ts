/** Losses at points of weight space: computed coarse to fine, kept as they come, and taken up again. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalHash, type Json } from '../config/canonical.js';
import { writeFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import type { DataSet } from '../data/open.js';
import { openSafetensors, readFloat64 } from '../features/safetensors.js';
import type { Addon, ArchOptions, AugmentOptions, LabelRule, Precision, TransformOptions } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { encodeNumbers } from './safetensors.js';

/** Raised when the same settings give other numbers. */
const POINTS_VERSION = 1;
const SAVE_MS = 5000;

export interface LandscapeHooks extends JobHooks {
  /** Told what is done next. */
  onStage?: ((stage: string) => void) | undefined;
}

/** A data set whose losses are wanted. */
export interface PointSet {
  name: string;
  kind: 'in' | 'out';
  data: DataSet;
  labels: LabelRule;
}

export interface StatisticsSource {
  train: DataSet;
  augment: AugmentOptions | null;
  /** 0: all. */
  images: number;
  batchSize: number;
}

/** What all tasks share. */
export interface PointSettings {
  sets: readonly PointSet[];
  /** Of each set, picked at random; 0: all. */
  images: number;
  seed: number;
  batchSize: number;
  /** In which points are evaluated. */
  precision: Precision;
  /** Bytes that held images may take. */
  memory: number;
  threads: number;
  workers: number;
  /** Where everything goes; points, to be taken up again, into `points` there. */
  folder: string;
  addon: Addon;
}

/** Points in the space of some weight vectors. */
export interface PointTask {
  /** Names its file. */
  id: string;
  arch: ArchOptions;
  transform: TransformOptions;
  checkpoints: readonly { checkpoint: string; weightsHash: string }[];
  /** Random directions after the checkpoints. */
  directions: number;
  /** A file to which they are written. */
  directionsOutput?: string | undefined;
  /** [points][checkpoints + directions]. */
  coefficients: readonly (readonly number[])[];
  /** The point whose predictions are labels. */
  labelsAt: readonly number[];
  /** Coarse to fine; together all points. */
  levels: readonly (readonly number[])[];
  statistics: StatisticsSource | null;
}

/** What is known of a task's points. */
export interface Points {
  key: string;
  done: Float64Array;
  /** [points, sets]; NaN where a point is not done, or its loss not finite. */
  losses: Float64Array;
  accuracies: Float64Array;
  /** How many were there already. */
  reused: number;
}

/**
 * Computes the points that are not kept from before, one level of all tasks after another, and keeps them every few seconds
 * and when it is stopped.
 *
 * @param onLevel called when all tasks have all points of a level
 * @throws ModeEnsembleError E_ABORTED, E_MEMORY, E_DATA, E_CHECKPOINT, E_IO; finished points stay
 */
export async function computePoints(
  tasks: readonly PointTask[],
  settings: PointSettings,
  hooks: LandscapeHooks,
  onLevel?: (level: number, points: readonly Points[]) => Promise<void>,
): Promise<Points[]> {
  await makeWritableFolder(join(settings.folder, 'points'));
  const found: Points[] = [];
  for (const task of tasks) found.push(await findPoints(task, settings, hooks));
  const total = tasks.reduce((sum, { coefficients }) => sum + coefficients.length, 0);
  const levels = Math.max(...tasks.map((task) => task.levels.length));
  for (let level = 0; level < levels; level++) {
    let isNew = false;
    for (const [index, task] of tasks.entries()) {
      const points = found[index] as Points;
      const pending = (task.levels[level] ?? []).filter((point) => points.done[point] === 0);
      if (pending.length === 0) continue;
      isNew = true;
      const before = found.reduce((sum, { done }) => sum + done.reduce((count, one) => count + one, 0), 0);
      await computeSome(task, points, pending, settings, { ...hooks, ...shiftProgress(hooks, before, total) });
    }
    if (isNew) await onLevel?.(level, found);
  }
  return found;
}

/** Progress over the points of all tasks. */
function shiftProgress({ onProgress }: LandscapeHooks, before: number, total: number): JobHooks {
  return {
    onProgress: (event) =>
      onProgress?.(event.phase === 'points' ? { ...event, done: before + event.done, total } : event),
  };
}

async function computeSome(
  task: PointTask,
  points: Points,
  pending: readonly number[],
  settings: PointSettings,
  hooks: LandscapeHooks,
): Promise<void> {
  const { sets, images, seed, batchSize, precision, memory, threads, workers, addon } = settings;
  const { arch, transform, checkpoints, directions, directionsOutput = '', labelsAt, statistics } = task;
  const file = fileOf(task, settings);
  let saved = Date.now();
  let saving = Promise.resolve();
  const options = {
    ...{ arch, transform, directions, directionsOutput, seed, batchSize, precision, memory, threads, workers },
    checkpoints: checkpoints.map(({ checkpoint }) => checkpoint),
    sets: sets.map(({ data, labels }) => ({ data: data.handle, images, labels })),
    coefficients: pending.flatMap((point) => task.coefficients[point] as readonly number[]),
    labelsAt: [...labelsAt],
    statistics: statistics && { ...statistics, train: statistics.train.handle },
    frozen: true,
  };
  const job = startJob((sink) => addon.surface(options, sink), {
    ...hooks,
    onPoint(event) {
      const point = pending[event.index] as number;
      points.done[point] = 1;
      points.losses.set(event.losses, point * sets.length);
      points.accuracies.set(event.accuracies, point * sets.length);
      if (Date.now() - saved < SAVE_MS) return;
      saved = Date.now();
      saving = saving.then(() => savePoints(file, points, sets.length));
      saving.catch(() => job.abort());
    },
  });
  try {
    await job.done;
  } finally {
    await saving;
    await savePoints(file, points, sets.length);
  }
}

function fileOf({ id }: PointTask, { folder }: PointSettings): string {
  return join(folder, 'points', `${id.replace(/[^\p{L}\p{N}._-]+/gu, '_')}.safetensors`);
}

async function findPoints(task: PointTask, settings: PointSettings, hooks: LandscapeHooks): Promise<Points> {
  const key = pointsKey(task, settings);
  const file = fileOf(task, settings);
  const count = task.coefficients.length;
  const size = count * settings.sets.length;
  if (existsSync(file)) {
    try {
      const stored = await openSafetensors(file);
      if (stored.metadata.key === key) {
        const [done, losses, accuracies] = [
          await readFloat64(stored, 'done', 1),
          await readFloat64(stored, 'losses', 2),
          await readFloat64(stored, 'accuracies', 2),
        ];
        if (done.length === count && losses.length === size && accuracies.length === size) {
          return { key, done, losses, accuracies, reused: done.reduce((sum, one) => sum + one, 0) };
        }
      }
      tell(hooks, `${file}: points of other settings; they are computed anew`);
    } catch (error) {
      tell(hooks, `${(error as Error).message.replace(/\.$/, '')}; its points are computed anew`);
    }
  }
  const empty = () => new Float64Array(size).fill(Number.NaN);
  return { key, done: new Float64Array(count), losses: empty(), accuracies: empty(), reused: 0 };
}

function tell(hooks: LandscapeHooks, message: string): void {
  hooks.onLog?.({ type: 'log', level: 'warning', message });
}

function savePoints(file: string, { key, done, losses, accuracies }: Points, sets: number): Promise<void> {
  const shape = [done.length, sets];
  const tensors = {
    done: { shape: [done.length], data: done },
    losses: { shape, data: losses },
    accuracies: { shape, data: accuracies },
  };
  return writeFileAtomic(file, encodeNumbers(tensors, { key, format: 'mode-ensemble points' }));
}

/** Everything that shapes the numbers; threads and paths do not. */
export function pointsKey(task: PointTask, settings: PointSettings): string {
  const { arch, transform, checkpoints, directions, coefficients, labelsAt, statistics } = task;
  const { sets, images, seed, batchSize, precision } = settings;
  return canonicalHash({
    version: POINTS_VERSION,
    arch: { name: arch.name, width: arch.width, classes: arch.classes },
    transform: { ...transform },
    checkpoints: checkpoints.map(({ weightsHash }) => weightsHash),
    sets: sets.map(({ data, labels }) => ({ data: fingerprintOf(data), labels })),
    ...{ directions, images, seed, batchSize, precision },
    coefficients: coefficients.map((row) => [...row]),
    labelsAt: [...labelsAt],
    statistics: statistics && ({ ...statistics, train: fingerprintOf(statistics.train) } as unknown as Json),
  });
}

/** Of the images that can be read, where bad ones may be passed over. */
function fingerprintOf({ fingerprint, skipBadImages }: DataSet): string {
  return skipBadImages ? `${fingerprint}+skip` : fingerprint;
}
