/** What surfaces are written as: numbers, a table, a figure, and the folder's index. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { canonicalHash, type Json } from '../config/canonical.js';
import { writeFileAtomic } from '../config/files.js';
import type { LabelRule } from '../native/contract.js';
import { drawContours, type Mark } from './contour-figure.js';
import { type Geometry, places } from './geometry.js';
import { type IndexedFigure, readIndex, writeIndex } from './index-file.js';
import type { LandscapeSettings, SurfaceKind } from './landscape.js';
import { drawLines } from './line-figure.js';
import { fillBetween } from './order.js';
import type { PointSet, Points, PointTask } from './points.js';
import { encodeNumbers } from './safetensors.js';
import { describeGaps, describeSets, gapsIn, LABEL_WORDS } from './words.js';

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

export const KINDS: Readonly<Record<SurfaceKind, KindRow>> = {
  grid: { stem: 'landscape', title: 'Loss landscape', isOnePicture: false },
  profile: { stem: 'profile', title: 'Loss along a random direction', isOnePicture: false },
  plane: { stem: 'plane', title: 'Loss in the plane through three modes', isOnePicture: true },
};

/** A surface: the points of one task, and what they are of. */
export interface Surface {
  name: string;
  geometry: Geometry;
  task: PointTask;
}

/**
 * Writes the numbers, the table, the figure and the index.
 *
 * @throws ModeEnsembleError E_IO
 */
export async function writeSurfaces(
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
  const index = join(folder, 'landscape.json');
  const files = [...['safetensors', 'csv', 'svg'].map(path), index];
  const isMade = readIndex(index).made[stem]?.key === key && files.every((file) => existsSync(file));
  if (!isMade || !settings.keepSame) {
    await writeFileAtomic(path('safetensors'), numbersOf(settings, sets, surfaces, points, about));
    await writeFileAtomic(path('csv'), csvOf(sets, surfaces, points));
    await writeFileAtomic(path('svg'), await drawSurfaces(settings, sets, surfaces, points));
    await writeIndex(index, stem, { key, figures: [figureOf(settings, sets, surfaces, gaps)], about });
  }
  const reused = points.reduce((sum, one) => sum + one.reused, 0);
  const all = points.reduce((sum, { done }) => sum + done.length, 0);
  return {
    kind,
    folder,
    files,
    key,
    points: { made: all - reused, reused },
    gaps,
    summary: summarise(sets, surfaces, points),
  };
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
    sets: sets.map(({ name, kind: part, labels, data }) => ({
      name,
      kind: part,
      labels,
      fingerprint: data.fingerprint,
    })),
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
  const tensors = {
    ...coordinates,
    loss: gather(({ losses }) => losses),
    accuracy: gather(({ accuracies }) => accuracies),
  };
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

/** The figure. @param level the finest whose points are all there; default: all */
export function drawSurfaces(
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
      series: surfaces.map(({ name }, i) => ({
        name,
        x,
        y: [...column((points[i] as Points).losses, sets.length, s)],
      })),
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
