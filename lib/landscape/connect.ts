/** Curves of low loss between two modes, beside the straight line between them. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { canonicalHash, type Json } from '../config/canonical.js';
import { ConfigError } from '../config/errors.js';
import { writeFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import { type Recipe, type SavingSettings, splitSettings, type TrainSettings } from '../config/recipes.js';
import type { DataSet } from '../data/open.js';
import { archOptions } from '../modes/arch.js';
import { weightsHash } from '../modes/find.js';
import { inspectCheckpoint } from '../modes/inspect.js';
import { augmentOptions, recipeOptions } from '../modes/job-settings.js';
import type { Member } from '../modes/member.js';
import { writeMetadata } from '../modes/metadata.js';
import type { Addon, CurveKind, Precision } from '../native/contract.js';
import { startJob } from '../native/job.js';
import { curveCoefficients, places } from './geometry.js';
import { writeIndex } from './index-file.js';
import { chooseLabels, type OodLabels, requireAlike } from './landscape.js';
import { drawLines, type LinePanel } from './line-figure.js';
import { pointLevels } from './order.js';
import {
  computePoints,
  type LandscapeHooks,
  type PointSet,
  type PointSettings,
  type Points,
  type PointTask,
} from './points.js';
import { encodeNumbers } from './safetensors.js';
import { describeGaps, describeSets, gapsIn } from './words.js';

export interface ConnectSettings extends Omit<PointSettings, 'sets'> {
  /** The two ends. */
  members: readonly Member[];
  sets: { train: DataSet; test: DataSet; out: readonly DataSet[] };
  curve: CurveKind;
  /** How the bend is trained. */
  train: TrainSettings;
  /** Points along each path. */
  points: number;
  /** Of training data, for normalisation's statistics at each point; 0: all. */
  statisticsImages: number;
  labels: OodLabels;
  nameField?: ((field: string) => string) | undefined;
}

/** One path on one set. */
export interface PathSummary {
  path: string;
  set: string;
  kind: 'in' | 'out';
  /** At the two ends. */
  ends: [number, number];
  highest: number;
  /** Where that is. */
  at: number;
  /** The highest loss minus the larger one of the ends. */
  barrier: number;
  /** Of the images that get their label; NaN where they have none. */
  lowestAccuracy: number;
  gaps: number;
}

export interface ConnectResult {
  folder: string;
  files: string[];
  curve: CurveKind;
  /** The bend was trained now. */
  isNew: boolean;
  points: { made: number; reused: number };
  summary: PathSummary[];
}

interface Path {
  name: string;
  task: PointTask;
}

/**
 * Trains a curve between two modes, evaluates it and the straight line, and writes `bend.safetensors`,
 * `connect.safetensors`, `connect.csv`, `connect.svg` and the index `connect.json`. Source: Garipov et al., NeurIPS 2018,
 * arXiv 1802.10026. A training that was stopped, and points that are there, are taken up again.
 *
 * @throws ModeEnsembleError E_CONFIG, E_DATA, E_CHECKPOINT, E_MEMORY, E_NUMERIC, E_IO, E_ABORTED
 */
export async function connectModes(settings: ConnectSettings, hooks: LandscapeHooks = {}): Promise<ConnectResult> {
  const { members, folder, addon, nameField = (field: string) => field } = settings;
  if (members.length !== 2) {
    throw new ConfigError(`${nameField('checkpoints')}: expected two modes, found ${members.length}`);
  }
  requireAlike(members);
  const sets = chooseLabels(settings);
  await makeWritableFolder(folder);
  const lock = addon.lockFile(join(folder, 'lock'));
  try {
    const bend = await findBend(settings, hooks);
    hooks.onStage?.('paths');
    const paths = await pathsOf(settings, bend.path, hooks);
    const { images, seed, batchSize, precision, memory, threads, workers } = settings;
    const shared: PointSettings = {
      ...{ sets, images, seed, batchSize, precision, memory, threads, workers, folder, addon },
    };
    const tasks = paths.map(({ task }) => task);
    const points = await computePoints(tasks, shared, hooks);
    return await writeAll(settings, sets, paths, points, bend.isNew);
  } finally {
    lock.release();
  }
}

/** The trained bend, or what was begun of it, or a new one. */
async function findBend(settings: ConnectSettings, hooks: LandscapeHooks): Promise<{ path: string; isNew: boolean }> {
  const { members, sets, curve, seed, folder, threads, workers, addon, memory } = settings;
  const [first, second] = members as [Member, Member];
  const { recipe, saving } = splitSettings(settings.train);
  const { dropout = first.arch.dropout, ...rest } = recipe;
  const arch = archOptions({ ...first.arch, dropout }, first.classes);
  const statistics = statisticsOf(settings, recipe);
  const wanted = { arch, data: sets.train.fingerprint, train: rest, transform: first.transform };
  const key = canonicalHash({
    ...{ ends: [first.weightsHash, second.weightsHash], curve, seed },
    settings: wanted as unknown as Json,
    statistics: { images: statistics.images, batchSize: statistics.batchSize },
  });
  const path = join(folder, 'bend.safetensors');
  if ((await curveKey(path, addon, hooks)) === key) return { path, isNew: false };
  const state = join(folder, 'state.safetensors');
  const isBegun = (await curveKey(state, addon, hooks)) === key;
  hooks.onStage?.(`curve ${first.name} – ${second.name}`);
  const job = {
    ...recipeOptions(rest as Recipe),
    ends: [first.checkpoint, second.checkpoint] as [string, string],
    kind: curve,
    ...{ arch, seed, threads, workers, memory },
    device: 'cpu',
    train: sets.train.handle,
    transform: first.transform,
    saving: savingOptions(saving, folder),
    checkpoint: path,
    resume: isBegun ? state : '',
    metadata: { ...writeMetadata(seed, sets.train.classes, wanted), curve, curveKey: key },
    statistics: { ...statistics, train: sets.train.handle },
  };
  const { ema: _ema, ...options } = job;
  await startJob((sink) => addon.trainCurve(options, sink), hooks).done;
  await rm(state, { force: true });
  return { path, isNew: true };
}

function savingOptions({ saveEpochs, stateSteps, stateMinutes }: SavingSettings, folder: string) {
  return { saveEpochs, stateSteps, stateMinutes, keepStates: 1, folder };
}

function statisticsOf({ sets, statisticsImages, train }: ConnectSettings, recipe: Recipe) {
  const augment = augmentOptions(recipe);
  return { train: sets.train, augment, images: statisticsImages, batchSize: train.batchSize };
}

/** Of which curve a file is; undefined where there is none, or none of ours. */
async function curveKey(file: string, addon: Addon, hooks: LandscapeHooks): Promise<string | undefined> {
  if (!existsSync(file)) return undefined;
  const { metadata } = await inspectCheckpoint(file, { addon }, { signal: hooks.signal });
  return metadata.curveKey;
}

async function pathsOf(settings: ConnectSettings, bend: string, hooks: LandscapeHooks): Promise<Path[]> {
  const { members, points, curve, train } = settings;
  const [first, second] = members as [Member, Member];
  const along = places({ count: points, from: 0, to: 1 });
  const shared = {
    arch: archOptions(first.arch, first.classes),
    transform: first.transform,
    directions: 0,
    levels: pointLevels([points]),
    statistics: statisticsOf(settings, splitSettings(train).recipe),
  };
  const middle = { checkpoint: bend, weightsHash: await weightsHash(bend, hooks.signal) };
  return [
    {
      name: 'straight line',
      task: {
        ...shared,
        id: 'line',
        checkpoints: [first, second],
        coefficients: along.map((t) => [1 - t, t]),
        labelsAt: [1, 0],
      },
    },
    {
      name: curve === 'bezier' ? 'Bezier curve' : 'polygonal chain',
      task: {
        ...shared,
        id: curve,
        checkpoints: [first, middle, second],
        coefficients: along.map((t) => curveCoefficients(curve, t)),
        labelsAt: [1, 0, 0],
      },
    },
  ];
}

async function writeAll(
  settings: ConnectSettings,
  sets: readonly PointSet[],
  paths: readonly Path[],
  points: readonly Points[],
  isNew: boolean,
): Promise<ConnectResult> {
  const { folder, members, images, curve, seed, batchSize, precision, statisticsImages, train } = settings;
  const along = places({ count: settings.points, from: 0, to: 1 });
  const of = (values: Float64Array, set: number) => along.map((_, i) => values[i * sets.length + set] as number);
  const stacked = (pick: (one: Points) => Float64Array) => ({
    shape: [paths.length, sets.length, along.length],
    data: Float64Array.from(points.flatMap((one) => sets.flatMap((_, s) => of(pick(one), s)))),
  });
  const about: Json = {
    ...{ curve, seed, points: settings.points, images, statisticsImages, batchSize, precision },
    modes: members.map(({ name, weightsHash: sha256, arch }) => ({ name, sha256, arch: arch.id })),
    sets: sets.map(({ name, kind, labels, data }) => ({ name, kind, labels, fingerprint: data.fingerprint })),
    paths: paths.map(({ name }, i) => ({ name, key: points[i]?.key ?? '' })),
    train: { ...splitSettings(train).recipe } as unknown as Json,
  };
  const tensors = {
    t: { shape: [along.length], data: Float64Array.from(along) },
    loss: stacked(({ losses }) => losses),
    accuracy: stacked(({ accuracies }) => accuracies),
  };
  const metadata = { format: 'mode-ensemble connect', version: '1', about: JSON.stringify(about) };
  const file = (ending: string) => join(folder, `connect.${ending}`);
  await writeFileAtomic(file('safetensors'), encodeNumbers(tensors, metadata));
  const rows = paths.flatMap(({ name }, i) =>
    sets.flatMap(({ name: set, kind, labels }, s) => {
      const { losses, accuracies } = points[i] as Points;
      const [loss, accuracy] = [of(losses, s), of(accuracies, s)];
      return along.map((t, k) => [name, set, kind, labels, t, ...[loss[k], accuracy[k]].map(cell)]);
    }),
  );
  const head = ['path', 'set', 'kind', 'labels', 't', 'loss', 'accuracy'];
  await writeFileAtomic(file('csv'), stringify([head, ...rows]));
  await writeFileAtomic(file('svg'), await draw(members, sets, paths, points, along));
  const gaps = points.reduce((sum, { losses }) => sum + gapsIn(losses), 0);
  const counts = sets.map(({ data }) => (images === 0 ? data.count : Math.min(images, data.count)));
  const figure = {
    file: 'connect.svg',
    title: `From mode ${members[0]?.name} to mode ${members[1]?.name}`,
    caption:
      `Mean cross-entropy and accuracy along the straight line between the weights of two modes, and along a trained ${paths[1]?.name}, at ` +
      `${along.length} points each; normalisation's statistics are estimated anew at each point. ${describeSets(sets, counts)}.${describeGaps(gaps)}`,
  };
  const key = canonicalHash(points.map((one) => one.key));
  await writeIndex(file('json'), 'connect', { key, figures: [figure], about });
  const reused = points.reduce((sum, one) => sum + one.reused, 0);
  const all = points.reduce((sum, { done }) => sum + done.length, 0);
  return {
    folder,
    files: [join(folder, 'bend.safetensors'), ...['safetensors', 'csv', 'svg', 'json'].map(file)],
    curve,
    isNew,
    points: { made: all - reused, reused },
    summary: paths.flatMap(({ name }, i) =>
      sets.map(({ name: set, kind }, s) => {
        const { losses, accuracies } = points[i] as Points;
        return summarise({ path: name, set, kind }, along, of(losses, s), of(accuracies, s));
      }),
    ),
  };
}

function cell(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? '' : String(value);
}

/** The barrier of a path; numbers are NaN where the ends, or all points, have no loss. */
export function summarise(
  about: Pick<PathSummary, 'path' | 'set' | 'kind'>,
  along: readonly number[],
  losses: readonly number[],
  accuracies: readonly number[],
): PathSummary {
  const ends: [number, number] = [losses[0] as number, losses.at(-1) as number];
  let place = -1;
  for (const [i, loss] of losses.entries()) {
    if (!Number.isNaN(loss) && (place < 0 || loss > (losses[place] as number))) place = i;
  }
  const highest = place < 0 ? Number.NaN : (losses[place] as number);
  const finite = accuracies.filter((value) => !Number.isNaN(value));
  return {
    ...about,
    ends,
    highest,
    at: place < 0 ? Number.NaN : (along[place] as number),
    barrier: highest - Math.max(...ends),
    lowestAccuracy: finite.length > 0 ? Math.min(...finite) : Number.NaN,
    gaps: losses.filter(Number.isNaN).length,
  };
}

function draw(
  members: readonly Member[],
  sets: readonly PointSet[],
  paths: readonly Path[],
  points: readonly Points[],
  along: readonly number[],
): Promise<string> {
  const seriesOf = (pick: (one: Points) => Float64Array, set: number, factor: number) =>
    paths.map(({ name }, i) => {
      const values = pick(points[i] as Points);
      return { name, x: along, y: along.map((_, k) => factor * (values[k * sets.length + set] as number)) };
    });
  const losses = sets.map(
    ({ name, kind }, s): LinePanel => ({
      title: `${kind === 'in' ? 'InD' : 'OoD'}: ${name}`,
      measure: 'mean cross-entropy',
      series: seriesOf((one) => one.losses, s, 1),
    }),
  );
  const accuracy: LinePanel = {
    title: `InD: ${sets[0]?.name}`,
    measure: 'accuracy, %',
    series: seriesOf((one) => one.accuracies, 0, 100),
  };
  const [inner, ...others] = losses as [LinePanel, ...LinePanel[]];
  const axis = `t, from mode ${members[0]?.name} to mode ${members[1]?.name}`;
  return drawLines({ axis, panels: [inner, accuracy, ...others], legend: 'path', columns: 2 });
}
