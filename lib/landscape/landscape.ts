/** Loss surfaces around modes, profiles through them, and the plane through three of them. */
import { join } from 'node:path';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { writeFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import type { DataSet } from '../data/open.js';
import { archOptions, type ModeArch } from '../modes/arch.js';
import type { Member } from '../modes/member.js';
import type { Addon, AugmentOptions, LabelRule, Precision, TransformOptions } from '../native/contract.js';
import { startJob } from '../native/job.js';
import { gridGeometry, planeGeometry, profileGeometry } from './geometry.js';
import {
  computePoints,
  type LandscapeHooks,
  type PointSet,
  type PointSettings,
  type Points,
  type PointTask,
} from './points.js';
import { drawSurfaces, KINDS, type LandscapeResult, type Surface, writeSurfaces } from './surface-files.js';

/** `grid`: two directions; `profile`: the first of them; `plane`: through three modes. */
export type SurfaceKind = 'grid' | 'profile' | 'plane';

/** `auto`: own labels where an OoD set has as many classes, else the mode's prediction. */
export type OodLabels = LabelRule | 'auto';

export interface LandscapeSettings extends Omit<PointSettings, 'sets'> {
  kind: SurfaceKind;
  members: readonly Member[];
  /** `train` only for a plane. */
  sets: { test: DataSet; out: readonly DataSet[]; train?: DataSet | undefined };
  /** Points on each axis. */
  grid: number;
  /** From −range to range; of a plane the margin around the modes, as a share of their extent. */
  range: number;
  labels: OodLabels;
  /** Of training data, for normalisation's statistics at each point of a plane; 0: all. */
  statisticsImages: number;
  augment: AugmentOptions | null;
  /** The figure is written as levels of points complete. */
  refresh?: boolean | undefined;
  /** Files that are there of the same points are not written again. */
  keepSame?: boolean | undefined;
  /** Directions are written too. */
  saveDirections?: boolean | undefined;
  /** What errors call a field. */
  nameField?: ((field: string) => string) | undefined;
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
      if (refresh && !isLast)
        await writeFileAtomic(picture, await drawSurfaces(settings, sets, surfaces, points, level));
    };
    const points = await computePoints(tasks, shared, hooks, onLevel);
    return await writeSurfaces(settings, sets, surfaces, points);
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
  const [first] = members as [Member];
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
export function requireAlike(members: readonly Member[]): void {
  const [first, ...others] = members as [Member, ...Member[]];
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
