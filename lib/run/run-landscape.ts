/** Loss surfaces and curves of checkpoints that are there, and of an experiment's modes. */
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../config/errors.js';
import { ioError } from '../config/files.js';
import type { LandscapeSection } from '../config/landscape-schema.js';
import { RECIPES, type Recipe, type TrainSettings } from '../config/recipes.js';
import type { DataSet } from '../data/open.js';
import { type ConnectResult, type ConnectSettings, connectModes } from '../landscape/connect.js';
import { type LandscapeSettings, makeLandscape, type OodLabels, type SurfaceKind } from '../landscape/landscape.js';
import type { LandscapeResult } from '../landscape/surface-files.js';
import { checkpointIn, readCheckpoint } from '../modes/find.js';
import { augmentOptions } from '../modes/job-settings.js';
import type { Member } from '../modes/member.js';
import type { Addon, CurveKind, Precision } from '../native/contract.js';
import { getAddon } from '../native/load.js';
import type { Plan } from './experiment.js';
import type { ExtractedMember, StageHooks } from './extract.js';
import {
  type CheckpointSettings,
  nameField,
  type OodSettings,
  type OpenedSets,
  openDataSets,
  prepare,
} from './run-checkpoints.js';

/** What surfaces and curves share. */
interface SharedSettings
  extends Omit<
      CheckpointSettings,
      'features' | 'ensembles' | 'intervals' | 'storage' | 'checkpoints' | 'batchSize' | 'precision'
    >,
    Pick<OodSettings, 'out' | 'train'> {
  checkpoints?: readonly string[] | undefined;
  /** A run folder, whose modes and data sets are taken where others are not named. */
  run?: string | undefined;
  /** Of the run folder's modes; default: all. */
  seeds?: readonly number[] | undefined;
  /** Default: `landscape` or `connect` in the run folder, else in `runs`. */
  output?: string | undefined;
  images: number;
  /** Of training data, for normalisation's statistics; 0: all. */
  statisticsImages: number;
  labels: OodLabels;
  seed: number;
  /** Bytes that held images may take. */
  memory: number;
}

export interface SurfaceRunSettings extends SharedSettings {
  kind: SurfaceKind;
  grid: number;
  range: number;
  batchSize: number;
  precision: Precision;
  refresh?: boolean | undefined;
  saveDirections?: boolean | undefined;
  /** False: a plane's normalisation statistics are summed as its weights. */
  estimateStatistics?: boolean | undefined;
}

export interface CurveRunSettings extends SharedSettings {
  curve: CurveKind;
  points: number;
  /** What is to differ from the recipe of the first mode (from the paper's for CIFAR-10 where it says none). */
  training: Partial<TrainSettings>;
}

/** Images in a pass: so few that what is between two layers stays in the cache. */
export const SURFACE_BATCH = 50;

/** Loss surfaces of checkpoints. @throws ModeEnsembleError as makeLandscape */
export async function landscapeOf(settings: SurfaceRunSettings, hooks: StageHooks = {}): Promise<LandscapeResult> {
  const { kind, grid, range, batchSize, precision, refresh, saveDirections, estimateStatistics = true } = settings;
  const needsTrain = kind === 'plane' && estimateStatistics;
  return withSets(settings, 'landscape', needsTrain, hooks, async ({ members, sets, folder, addon }) => {
    const { images, labels, seed, statisticsImages, memory, threads, workers } = settings;
    const recipe = needsTrain ? await recipeOf(members[0] as Member, addon, hooks) : undefined;
    const own: LandscapeSettings = {
      ...{ kind, members, sets, grid, range, images, labels, seed, statisticsImages, batchSize, precision },
      ...{ memory, threads, workers, folder, refresh, saveDirections, addon },
      augment: recipe ? augmentOptions(recipe) : null,
      nameField: (field) => nameField(checkpointSettings(settings, [], folder), field),
    };
    return makeLandscape(own, hooks);
  });
}

/** A curve between two checkpoints. @throws ModeEnsembleError as connectModes */
export async function connectionOf(settings: CurveRunSettings, hooks: StageHooks = {}): Promise<ConnectResult> {
  const { curve, points, training } = settings;
  return withSets(settings, 'connect', true, hooks, async ({ members, sets, folder, addon }) => {
    const { images, labels, seed, statisticsImages, memory, threads, workers } = settings;
    const own = training.recipe ? undefined : members[0] && (await recipeOf(members[0], addon, hooks));
    const given = Object.fromEntries(Object.entries(training).filter(([, value]) => value !== undefined));
    const name = training.recipe ?? 'cifar10';
    const train: TrainSettings = { recipe: name, ...RECIPES[name], ...own, ...given };
    const all: ConnectSettings = {
      ...{
        members,
        curve,
        train,
        points,
        images,
        statisticsImages,
        labels,
        seed,
        memory,
        threads,
        workers,
        folder,
        addon,
      },
      sets: { ...sets, train: sets.train as DataSet },
      batchSize: SURFACE_BATCH,
      precision: 'float32',
      nameField: (field) => nameField(checkpointSettings(settings, [], folder), field),
    };
    return connectModes(all, hooks);
  });
}

/** The recipe with which a mode of ours was trained. */
async function recipeOf(member: Member, addon: Addon, hooks: StageHooks): Promise<Recipe | undefined> {
  const found = await readCheckpoint(member.checkpoint, addon, { signal: hooks.signal });
  const settings = found?.settings as { train?: Recipe } | undefined;
  return settings?.train;
}

interface Ready {
  members: Member[];
  sets: OpenedSets;
  folder: string;
  addon: Addon;
}

/** Opens checkpoints and sets for what is made of them. */
async function withSets<Result>(
  given: SharedSettings,
  name: string,
  needsTrain: boolean,
  hooks: StageHooks,
  make: (ready: Ready) => Promise<Result>,
): Promise<Result> {
  const settings = await fromRun(given);
  const addon = settings.addon ?? getAddon();
  const folder = settings.output ?? join(settings.run ?? 'runs', name);
  const own = checkpointSettings(settings, settings.checkpoints ?? [], folder);
  const { sets: chosen, modes } = await prepare(own, true, hooks);
  using sets = await openDataSets(own, chosen, needsTrain, hooks);
  const members = modes.members.map((member): Member => {
    if (!member.hasStages) {
      throw new ConfigError(
        `${member.checkpoint}: expected a network whose weights are known, found a TorchScript module`,
      );
    }
    return { ...member, classes: member.classes ?? sets.test.classes.length };
  });
  return await make({ members, sets, folder, addon });
}

function checkpointSettings(
  settings: SharedSettings,
  checkpoints: readonly string[],
  folder: string,
): CheckpointSettings & Pick<OodSettings, 'out' | 'train'> {
  return { ...settings, checkpoints, features: folder, batchSize: SURFACE_BATCH, precision: 'float32' };
}

/** Fills in what a run folder says: its modes, and the data sets of its experiment. */
async function fromRun<Settings extends SharedSettings>(settings: Settings): Promise<Settings> {
  const { run, seeds, checkpoints = [] } = settings;
  const name = (field: string) => nameField(checkpointSettings(settings, [], ''), field);
  if (run === undefined) {
    if (seeds !== undefined) throw new ConfigError(`${name('seeds')}: expected ${name('run')} with it, found none`);
    return settings;
  }
  const found = checkpoints.length > 0 ? checkpoints : modesIn(run, settings, name);
  if (settings.in !== undefined || settings.suite !== undefined) return { ...settings, checkpoints: found };
  const file = join(run, 'experiment.json');
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw ioError(error, file, 'read');
  });
  let experiment: Partial<Pick<SharedSettings, 'in' | 'out' | 'suite' | 'root'>> | undefined;
  try {
    const record = JSON.parse(text);
    // All architectures of a run have the same data.
    experiment = (record.archs ? Object.values<typeof record>(record.archs)[0] : record).experiment;
  } catch {
    experiment = undefined;
  }
  const { in: inner, out, suite, root } = experiment ?? {};
  if (inner === undefined && suite === undefined) {
    throw new ConfigError(
      `${file}: expected an experiment with its data sets, found none; name them with ${name('in')}`,
    );
  }
  const sets = suite === undefined ? { in: inner, out: settings.out ?? out } : { suite, data: root };
  return { ...settings, ...sets, root: settings.root ?? root, checkpoints: found };
}

function modesIn(run: string, { seeds, arch }: SharedSettings, name: (field: string) => string): string[] {
  const folder = join(run, 'modes');
  const archs = existsSync(folder) ? readdirSync(folder).sort() : [];
  const wanted = [arch ?? []].flat();
  const chosen = wanted.length > 0 ? archs.filter((id) => wanted.includes(id)) : archs;
  if (chosen.length > 1) {
    throw new ConfigError(`${name('run')}: ${run} has modes of ${chosen.join(', ')}; choose one with ${name('arch')}`);
  }
  const [id] = chosen;
  const there = (id === undefined ? [] : readdirSync(join(folder, id)))
    .flatMap((entry) => /^seed-(\d+)$/.exec(entry)?.[1] ?? [])
    .map(Number)
    .filter((seed) => existsSync(checkpointIn(join(folder, id as string, `seed-${seed}`))))
    .sort((a, b) => a - b);
  const missing = seeds?.find((seed) => !there.includes(seed));
  if (there.length === 0 || missing !== undefined) {
    const expected = missing === undefined ? 'expected finished modes' : `expected a finished mode of seed ${missing}`;
    throw new ConfigError(`${name('run')}: ${expected} in ${folder}, found ${there.join(', ') || 'none'}`);
  }
  return (seeds ?? there).map((seed) => checkpointIn(join(folder, id as string, `seed-${seed}`)));
}

/** The landscape that an experiment asks for, in its run folder; what is there of the same settings stays. */
export async function landscapeOfRun(
  plan: Plan,
  section: LandscapeSection,
  made: { members: readonly ExtractedMember[]; test: DataSet; out: readonly DataSet[]; folder: string; addon: Addon },
  hooks: StageHooks,
): Promise<LandscapeResult> {
  const { grid, range, images, labels, seed, out: names } = section;
  const { threads = availableParallelism(), workers } = plan.experiment;
  return makeLandscape(
    {
      ...{ kind: 'grid', grid, range, labels, seed, threads, workers },
      images: images === 'all' ? 0 : images,
      members: made.members,
      sets: { test: made.test, out: names ? made.out.filter(({ name }) => names.includes(name)) : made.out },
      statisticsImages: 0,
      augment: null,
      batchSize: SURFACE_BATCH,
      precision: 'float32',
      memory: SURFACE_MEMORY,
      folder: join(made.folder, 'landscape'),
      keepSame: true,
      addon: made.addon,
    },
    hooks,
  );
}

/** Bytes that held images may take if nothing else is said: 2 GiB. */
export const SURFACE_MEMORY = 2 ** 31;
