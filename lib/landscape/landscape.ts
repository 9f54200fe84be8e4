/** Loss surfaces around modes, profiles through them, and the plane through three of them. */
import { join } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { canonicalHash, type Json } from '../config/canonical.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { writeFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import type { DataSet } from '../data/open.js';
import { archOptions, type ModeArch } from '../modes/arch.js';
import type { Addon, AugmentOptions, LabelRule, Precision, TransformOptions } from '../native/contract.js';
import { startJob } from '../native/job.js';
import { drawContours, type Mark } from './contour-figure.js';
import { type Geometry, gridGeometry, places, planeGeometry, profileGeometry } from './geometry.js';
import { type IndexedFigure, readIndex, writeIndex } from './index-file.js';
import { drawLines } from './line-figure.js';
import { fillBetween } from './order.js';
import {
  computePoints,
  type LandscapeHooks,
  type PointSet,
  type PointSettings,
  type Points,
  type PointTask,
} from './points.js';
import { encodeNumbers } from './safetensors.js';
import { describeGaps, describeSets, gapsIn, LABEL_WORDS } from './words.js';

/** A mode whose surface is wanted. */
export interface SurfaceMember {
  name: string;
  checkpoint: string;
  weightsHash: string;
  arch: ModeArch;
  transform: TransformOptions;
  /** Outputs of the network. */
  classes: number;
}

/** `grid`: two directions; `profile`: the first of them; `plane`: through three modes. */
export type SurfaceKind = 'grid' | 'profile' | 'plane';

/** `auto`: own labels where an OoD set has as many classes, else the mode's prediction. */
export type OodLabels = LabelRule | 'auto';

export interface LandscapeSettings {
  kind: SurfaceKind;
  members: readonly SurfaceMember[];
  /** `train` only for a plane. */
  sets: { test: DataSet; out: readonly DataSet[]; train?: DataSet | undefined };
  /** Points on each axis. */
  grid: number;
  /** From −range to range; of a plane the margin around the modes, as a share of their extent. */
  range: number;
  /** Of each set, picked at random; 0: all. */
  images: number;
  labels: OodLabels;
  seed: number;
  /** Of training data, for normalisation's statistics at each point of a plane; 0: all. */
  statisticsImages: number;
  augment: AugmentOptions | null;
  batchSize: number;
  precision: Precision;
  /** Bytes that held images may take. */
  memory: number;
  threads: number;
  workers: number;
  /** Where everything goes. */
  folder: string;
  /** The figure is written as levels of points complete. */
  refresh?: boolean | undefined;
  /** Files that are there of the same points are not written again. */
  keepSame?: boolean | undefined;
  /** Directions are written too. */
  saveDirections?: boolean | undefined;
  addon: Addon;
  /** What errors call a field. */
  nameField?: ((field: string) => string) | undefined;
}

/** Least and most of one mode's losses on one set. */
export interface SurfaceSummary {
  mode: string;
  set: string;
  kind: 'in' | 'out';
  labels: LabelRule;
  /** At the mode itself; NaN for a plane. */
  centre: number;
  least: number;
  most: number;
  gaps: number;
}

export interface LandscapeResult {
  kind: SurfaceKind;
  folder: string;
  files: string[];
  key: string;
  /** Points computed now, and those that were there. */
  points: { made: number; reused: number };
  gaps: number;
  summary: SurfaceSummary[];
}

interface KindRow {
  /** Of the files. */
  stem: string;
  title: string;
  isOnePicture: boolean;
}

const KINDS: Readonly<Record<SurfaceKind, KindRow>> = {
  grid: { stem: 'landscape', title: 'Loss landscape', isOnePicture: false },
  profile: { stem: 'profile', title: 'Loss along a random direction', isOnePicture: false },
  plane: { stem: 'plane', title: 'Loss in the plane through three modes', isOnePicture: true },
};

/** A surface: the points of one task, and what they are of. */
interface Surface {
  name: string;
  geometry: Geometry;
  task: PointTask;
}

/**
 * Computes surfaces and writes `<stem>.safetensors`, `<stem>.csv`, `<stem>.svg` and the index `landscape.json` into the
 * folder. Points that are there from before, of the same settings, are not computed again.
 *
 * @throws ModeEnsembleError E_CONFIG, E_DATA, E_CHECKPOINT, E_MEMORY, E_IO, E_ABORTED; finished points stay
 */
export async function makeLandscape(settings: LandscapeSettings, hooks: LandscapeHooks = {}): Promise<LandscapeResult> {
  const { kind, folder, addon, refresh } = settings;
  const sets = chooseLabels(settings);
  await makeWritableFolder(folder);
  const lock = addon.lockFile(join(folder, 'lock'));
  try {
    hooks.onStage?.(KINDS[kind].stem);
    const surfaces = await surfacesOf(settings, hooks);
    const { images, seed, batchSize, precision, memory, threads, workers } = settings;
    const shared: PointSettings = {
      ...{ sets, images, seed, batchSize, precision, memory, threads, workers, folder, addon },
    };
    const tasks = surfaces.map(({ task }) => task);
    const picture = join(folder, `${KINDS[kind].stem}.svg`);
    const onLevel = async (level: number, points: readonly Points[]) => {
      const isLast = level >= Math.max(...tasks.map(({ levels }) => levels.length)) - 1;
      if (refresh && !isLast) await writeFileAtomic(picture, await draw(settings, sets, surfaces, points, level));
    };
    const points = await computePoints(tasks, shared, hooks, onLevel);
    return await writeAll(settings, sets, surfaces, points);
  } finally {
    lock.release();
  }
}

/** The sets with what their images count as. @throws ModeEnsembleError E_CONFIG, E_DATA */
export function chooseLabels({
  members,
  sets: { test, out },
  labels,
  nameField = (field) => field,
}: Pick<LandscapeSettings, 'members' | 'sets' | 'labels' | 'nameField'>): PointSet[] {
  for (const { name, classes } of members) {
    if (classes === test.classes.length) continue;
    const expected = `expected a mode of ${test.classes.length} classes, as ${test.name} has them`;
    throw new ModeEnsembleError('E_DATA', `${name}: ${expected}, found ${classes}`);
  }
  const inner: PointSet = { name: test.name, kind: 'in', data: test, labels: 'own' };
  return [
    inner,
    ...out.map((data): PointSet => {
      const hasOwn = data.classes.length === test.classes.length;
      if (labels === 'own' && !hasOwn) {
        const expected = `own needs an OoD set of as many classes as the modes tell apart, ${test.classes.length}`;
        const found = `found ${data.classes.length} in ${data.name}`;
        throw new ConfigError(`${nameField('labels')}: ${expected}, ${found}; take prediction, random or uniform`);
      }
      const rule = labels === 'auto' ? (hasOwn ? 'own' : 'prediction') : labels;
      return { name: data.name, kind: 'out', data, labels: rule };
    }),
  ];
}

async function surfacesOf(settings: LandscapeSettings, hooks: LandscapeHooks): Promise<Surface[]> {
  const { kind, members, grid, range, folder, saveDirections } = settings;
  if (kind === 'plane') return [await planeOf(settings, hooks)];
  const make = { grid: gridGeometry, profile: profileGeometry }[kind];
  return members.map((member) => {
    const geometry = make(grid, range);
    const directions = kind === 'grid' ? 2 : 1;
    const { name, arch, classes, transform } = member;
    const task: PointTask = {
      id: `${KINDS[kind].stem}-${name}`,
      arch: archOptions(arch, classes),
      transform,
      checkpoints: [member],
      directions,
      ...(saveDirections && { directionsOutput: join(folder, `directions-${fileName(name)}.safetensors`) }),
      coefficients: geometry.coefficients,
      labelsAt: [1, ...Array<number>(directions).fill(0)],
      levels: geometry.levels,
      statistics: null,
    };
    return { name, geometry, task };
  });
}

async function planeOf(settings: LandscapeSettings, hooks: LandscapeHooks): Promise<Surface> {
  const { members, grid, range, addon, sets, statisticsImages, augment, batchSize } = settings;
  const nameField = settings.nameField ?? ((field: string) => field);
  if (members.length !== 3) {
    throw new ConfigError(`${nameField('plane')}: expected three modes, found ${members.length}`);
  }
  requireAlike(members);
  const [first] = members as [SurfaceMember];
  const arch = archOptions(first.arch, first.classes);
  const checkpoints = members.map(({ checkpoint }) => checkpoint);
  const products = await startJob((sink) => addon.weightProducts({ arch, checkpoints }, sink), hooks).done;
  const names = members.map(({ name }) => name);
  const geometry = planeGeometry(products, names, grid, range);
  const train = sets.train;
  const task: PointTask = {
    id: `plane-${names.join('+')}`,
    arch,
    transform: first.transform,
    checkpoints: members,
    directions: 0,
    coefficients: geometry.coefficients,
    labelsAt: [1, 0, 0],
    levels: geometry.levels,
    statistics: train ? { train, augment, images: statisticsImages, batchSize } : null,
  };
  return { name: names.join(', '), geometry, task };
}

/** Weights are only summed where they mean the same. @throws ModeEnsembleError E_CHECKPOINT */
export function requireAlike(members: readonly SurfaceMember[]): void {
  const [first, ...others] = members as [SurfaceMember, ...SurfaceMember[]];
  for (const { checkpoint, arch, classes, transform } of others) {
    const fail = (expected: string, found: string) =>
      new ModeEnsembleError(
        'E_CHECKPOINT',
        `${checkpoint}: expected ${expected} as in ${first.checkpoint}, found ${found}`,
      );
    if (arch.id !== first.arch.id) throw fail(`a ${first.arch.id}`, `a ${arch.id}`);
    if (classes !== first.classes) throw fail(`${first.classes} classes`, `${classes}`);
    if (JSON.stringify(transform) !== JSON.stringify(first.transform)) {
      throw fail('the preprocessing', 'another one');
    }
  }
}

function fileName(name: string): string {
  return name.replace(/[^\p{L}\p{N}._-]+/gu, '_');
}

async function writeAll(
  settings: LandscapeSettings,
  sets: readonly PointSet[],
  surfaces: readonly Surface[],
  points: readonly Points[],
): Promise<LandscapeResult> {
  const { kind, folder } = settings;
  const { stem } = KINDS[kind];
  const key = keyOf(points);
  const gaps = points.reduce((sum, { losses }) => sum + gapsIn(losses), 0);
  const about = describe(settings, sets, surfaces, points);
  const path = (ending: string) => join(folder, `${stem}.${ending}`);
  await writeFileAtomic(path('safetensors'), numbersOf(settings, sets, surfaces, points, about));
  await writeFileAtomic(path('csv'), csvOf(sets, surfaces, points));
  await writeFileAtomic(path('svg'), await draw(settings, sets, surfaces, points));
  const figures = [figureOf(settings, sets, surfaces, gaps)];
  const index = join(folder, 'landscape.json');
  await writeIndex(index, stem, { key, figures, about });
  const reused = points.reduce((sum, one) => sum + one.reused, 0);
  const all = points.reduce((sum, { done }) => sum + done.length, 0);
  return {
    kind,
    folder,
    files: [path('safetensors'), path('csv'), path('svg'), index],
    key,
    points: { made: all - reused, reused },
    gaps,
    summary: summarise(sets, surfaces, points),
  };
}

/** True where the folder's figures of that kind were made of these points. */
export function isMade(folder: string, kind: SurfaceKind, key: string): boolean {
  return readIndex(join(folder, 'landscape.json')).made[KINDS[kind].stem]?.key === key;
}

function keyOf(points: readonly Points[]): string {
  return canonicalHash(points.map(({ key }) => key));
}

function describe(
  settings: LandscapeSettings,
  sets: readonly PointSet[],
  surfaces: readonly Surface[],
  points: readonly Points[],
): Json {
  const { kind, members, grid, range, images, seed, batchSize, precision, statisticsImages } = settings;
  return {
    ...{ kind, grid, range, images, seed, batchSize, precision },
    ...(kind === 'plane' ? { statisticsImages: settings.sets.train ? statisticsImages : null } : {}),
    modes: members.map(({ name, weightsHash, arch }) => ({ name, sha256: weightsHash, arch: arch.id })),
    sets: sets.map(({ name, kind: part, labels, data }) => ({ name, kind: part, labels, fingerprint: data.fingerprint })),
    surfaces: surfaces.map(({ name }, i) => ({ name, key: points[i]?.key ?? '' })),
  };
}

/** `loss` and `accuracy` [surfaces, sets, …axes, the first axis last], and the axes `alpha`, `beta`. */
function numbersOf(
  { kind }: LandscapeSettings,
  sets: readonly PointSet[],
  surfaces: readonly Surface[],
  points: readonly Points[],
  about: Json,
): Buffer {
  const { axes } = (surfaces[0] as Surface).geometry;
  const sides = axes.map(({ count }) => count).reverse();
  const count = sides.reduce((product, side) => product * side, 1);
  const gather = (of: (one: Points) => Float64Array) => {
    const all = new Float64Array(points.length * sets.length * count);
    for (const [i, one] of points.entries()) {
      for (let s = 0; s < sets.length; s++) all.set(column(of(one), sets.length, s), (i * sets.length + s) * count);
    }
    return { shape: [points.length, sets.length, ...sides], data: all };
  };
  const names = kind === 'plane' ? ['x', 'y'] : ['alpha', 'beta'];
  const along = axes.map((axis, i) => [names[i], { shape: [axis.count], data: Float64Array.from(places(axis)) }]);
  const coordinates = Object.fromEntries(along) as Record<string, { shape: number[]; data: Float64Array }>;
  const tensors = { ...coordinates, loss: gather(({ losses }) => losses), accuracy: gather(({ accuracies }) => accuracies) };
  return encodeNumbers(tensors, { format: 'mode-ensemble landscape', version: '1', about: JSON.stringify(about) });
}

/** One set's numbers, point by point. */
function column(values: Float64Array, sets: number, set: number): Float64Array {
  return Float64Array.from({ length: values.length / sets }, (_, point) => values[point * sets + set] as number);
}

function csvOf(sets: readonly PointSet[], surfaces: readonly Surface[], points: readonly Points[]): string {
  const { axes } = (surfaces[0] as Surface).geometry;
  const names = axes.length === 2 && axes[0]?.title !== 'α' ? ['x', 'y'] : ['alpha', 'beta'].slice(0, axes.length);
  const rows = surfaces.flatMap(({ name, geometry }, i) => {
    const along = geometry.axes.map((axis) => places(axis));
    const { losses, accuracies } = points[i] as Points;
    return sets.flatMap((set, s) =>
      geometry.coefficients.map((_, point) => {
        let rest = point;
        const at = along.map((axis) => {
          const value = axis[rest % axis.length] as number;
          rest = Math.floor(rest / axis.length);
          return value;
        });
        const of = (values: Float64Array) => values[point * sets.length + s] as number;
        return [name, set.name, set.kind, set.labels, ...at, ...[of(losses), of(accuracies)].map(cell)];
      }),
    );
  });
  return stringify([['mode', 'set', 'kind', 'labels', ...names, 'loss', 'accuracy'], ...rows]);
}

function cell(value: number): string {
  return Number.isNaN(value) ? '' : String(value);
}

/** @param level the finest whose points are all there; default: all */
function draw(
  { kind }: Pick<LandscapeSettings, 'kind'>,
  sets: readonly PointSet[],
  surfaces: readonly Surface[],
  points: readonly Points[],
  level?: number,
): Promise<string> {
  const { axes } = (surfaces[0] as Surface).geometry;
  const valuesOf = (surface: number, set: number) => {
    const values = column((points[surface] as Points).losses, sets.length, set);
    return level === undefined ? values : fillBetween(values, axes[0]?.count ?? 1, level);
  };
  if (kind === 'profile') {
    const x = places(axes[0] as Geometry['axes'][0]);
    const panels = sets.map((set, s) => ({
      title: rowTitle(set),
      measure: 'mean cross-entropy',
      series: surfaces.map(({ name }, i) => ({ name, x, y: [...column((points[i] as Points).losses, sets.length, s)] })),
    }));
    return drawLines({ axis: 'α, along a random direction', panels, legend: 'mode', columns: 2 });
  }
  return drawContours({
    rows: sets.map(rowTitle),
    columns: surfaces.map(({ name }) => (kind === 'plane' ? `modes ${name}` : `mode ${name}`)),
    panels: sets.map((_, s) => surfaces.map((_surface, i) => ({ values: valuesOf(i, s) }))),
    axes: axes as [Geometry['axes'][0], Geometry['axes'][0]],
    marks: surfaces.map(({ geometry }): Mark[] => geometry.marks),
  });
}

function rowTitle({ name, kind }: PointSet): string {
  return `${kind === 'in' ? 'InD' : 'OoD'}: ${name}`;
}

function figureOf(
  settings: LandscapeSettings,
  sets: readonly PointSet[],
  surfaces: readonly Surface[],
  gaps: number,
): IndexedFigure {
  const { kind, grid, range, images, seed } = settings;
  const counts = sets.map(({ data }) => (images === 0 ? data.count : Math.min(images, data.count)));
  const about = `${describeSets(sets, counts)}.${describeGaps(gaps)}`;
  const { stem, title } = KINDS[kind];
  const file = `${stem}.svg`;
  const around = `${grid} points over [−${range}, ${range}]`;
  if (kind === 'profile') {
    const caption = `Mean cross-entropy of each mode along one random filter-normalised direction (seed ${seed}), ${around}. ${about}`;
    return { file, title, caption };
  }
  const contours = 'contours from 0.1 to 9.6 in steps of 0.5, the same in all panels';
  if (kind === 'grid') {
    const directions = `two random filter-normalised directions (seed ${seed})`;
    const caption = `Mean cross-entropy around each mode along ${directions}, ${grid} × ${around}²; ${contours}. ${about}`;
    return { file, title, caption };
  }
  const statistics = settings.sets.train
    ? "normalisation's statistics are estimated anew at each point"
    : "normalisation's statistics are summed as the weights";
  const names = (surfaces[0] as Surface).name;
  const labels = sets.some(({ labels: rule }) => rule === 'prediction')
    ? ` Here ${LABEL_WORDS.prediction.replace("the mode's", "the first mode's")}.`
    : '';
  const caption = `Mean cross-entropy in the plane through the modes ${names}, ${grid} × ${grid} points; ${statistics}; ${contours}. ${about}${labels}`;
  return { file, title, caption };
}

function summarise(
  sets: readonly PointSet[],
  surfaces: readonly Surface[],
  points: readonly Points[],
): SurfaceSummary[] {
  return surfaces.flatMap(({ name, geometry }, i) =>
    sets.map(({ name: set, kind, labels }, s): SurfaceSummary => {
      const values = column((points[i] as Points).losses, sets.length, s);
      const found = values.filter((value) => !Number.isNaN(value));
      const [first, ...rest] = [1, 0, 0];
      const centre = geometry.coefficients.findIndex(
        ([own, ...others]) => own === first && others.every((value, k) => value === rest[k]),
      );
      return {
        ...{ mode: name, set, kind, labels },
        centre: centre < 0 || geometry.marks.length === 3 ? Number.NaN : (values[centre] as number),
        least: found.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
        most: found.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
        gaps: gapsIn(values),
      };
    }),
  );
}
