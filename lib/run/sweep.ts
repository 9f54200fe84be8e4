/** Many modes: every architecture from every seed, each in a process of its own. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { check } from '../config/check.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { makeWritableFolder } from '../config/folders.js';
import { fields, type TrainSettings, type TransformSettings, trainSchema } from '../config/schema.js';
import { type Summary, summarize } from '../metrics/index.js';
import { type ModeArch, resolveArch } from '../modes/arch.js';
import { modeFolder } from '../modes/find.js';
import { LogFollower, lastEpoch } from '../modes/follow-log.js';
import { checkChangeable } from '../modes/state.js';
import { requireSameClasses } from '../modes/train.js';
import { overrideTransform } from '../modes/transform.js';
import type { Addon, EpochEvent, LogEvent, StepEvent } from '../native/contract.js';
import { resolveDevice } from '../native/device.js';
import { getAddon } from '../native/load.js';
import { launchOf, threadsOf } from '../ranks/launch.js';
import type { StageHooks } from './extract.js';
import { requireSuiteSize } from './sets.js';
import { type TrainArguments, trainArguments } from './train-arguments.js';
import {
  chooseTrainSets,
  DEFAULT_RUN,
  type NameTrainField,
  openTrainSets,
  requireShares,
  type TrainDataSettings,
} from './train-sets.js';
import { type Failure, type StartTraining, startTraining, type Training } from './training-process.js';

/** So often a training's log is looked at. */
const LOOK_MS = 500;

export interface SweepSettings extends TrainDataSettings {
  /** Names, aliases or ids of architectures. */
  arch: readonly string[];
  /** Channels of the first stage of all of them; default: each one's own. */
  width?: number | undefined;
  seeds: readonly number[];
  /** What differs from the recipe. */
  train?: Partial<TrainSettings> | undefined;
  /** What differs from the preprocessing of the architecture. */
  transform?: TransformSettings | undefined;
  /** Settings in which a training that goes on may differ from the one that was stopped. */
  allowChange?: readonly string[] | undefined;
  skipBadImages?: boolean | undefined;
  /** Run folder; modes go to `<run>/modes/<arch>/seed-<n>`. Default: `runs/train`. */
  run?: string | undefined;
  /** Trainings at a time; default: 1. */
  parallel?: number | undefined;
  /** Where the networks compute: auto, cpu, cuda or cuda:N; default: auto. */
  device?: string | undefined;
  /** Compute threads of all trainings together; default: all. */
  threads?: number | undefined;
  /** Threads of each training that read images. */
  workers?: number | undefined;
  /** Processes of each training, which share every batch. */
  ranks?: number | undefined;
}

/** `skipped`: finished before, with the same settings. */
export type SweepState = 'waiting' | 'training' | 'finished' | 'skipped' | 'failed';

export interface SweepMode {
  /** The architecture's id. */
  arch: string;
  seed: number;
  folder: string;
  state: SweepState;
  /** It was stopped before, and goes on. */
  goesOn?: boolean;
  /** The epoch that is trained, from 1, and the share of it that is done, 0 to 1; 1 only once it is tested too. */
  epoch?: number;
  epochs?: number;
  share?: number;
  loss?: number;
  /** On the test data, in percent, after the last epoch that is finished. */
  accuracy?: number;
  top5?: number;
  imagesPerSecond?: number;
  secondsLeft?: number | undefined;
  /** Once it is finished. */
  checkpoint?: string;
  /** SHA-256 (hex) of the checkpoint. */
  sha256?: string;
  /** Of the training, since it began or went on. */
  seconds?: number;
  /** The step from which it went on. */
  resumedAt?: number;
  /** Why it failed. */
  error?: Failure;
}

export interface SweepArch {
  /** The architecture's id. */
  arch: string;
  /** Of its modes that are finished, in percent; null where none is, or none tells its accuracy. */
  accuracy: Summary | null;
}

export interface SweepResult {
  run: string;
  /** By architecture, then by seed, both in the order in which they were given. */
  modes: SweepMode[];
  archs: SweepArch[];
}

export interface SweepHooks extends Pick<StageHooks, 'signal' | 'onStage' | 'onProgress' | 'onLog'> {
  /** All modes, before the first begins. */
  onModes?: ((modes: readonly SweepMode[]) => void) | undefined;
  /** A mode as it is now, whenever anything about it has changed. */
  onMode?: ((mode: SweepMode) => void) | undefined;
  /** What errors call a field; default: its name. */
  nameField?: NameTrainField | undefined;
  addon?: Addon | undefined;
  /** How a training is started; default: as a process. */
  start?: StartTraining | undefined;
}

/**
 * Trains every architecture from every seed. Modes that are finished are left as they are, those that were stopped go on, and
 * one that fails does not keep the others from being trained: its `error` says why. Stopped by the signal, every
 * training finishes its batch and writes down what it needs to go on. Where this process ends in another way, its trainings end too.
 *
 * The threads are divided evenly among the trainings at a time. As the number of threads may change the last bits of the
 * weights, so may `parallel`.
 *
 * @throws ModeEnsembleError E_CONFIG and E_DATA where no mode could be trained, E_IO where the run folder cannot be written,
 *   E_ABORTED
 * @example
 * const { archs } = await sweep({
 *   arch: ['cifar-resnet18', 'wrn-16-8'],
 *   seeds: [1000, 1100, 1200],
 *   in: 'cifar10:data/cifar-10-batches-bin',
 *   run: 'runs/cifar10',
 * });
 * for (const { arch, accuracy } of archs) console.log(arch, accuracy?.mean, accuracy?.std);
 */
export async function sweep(settings: SweepSettings, hooks: SweepHooks = {}): Promise<SweepResult> {
  const { addon = getAddon(), signal } = hooks;
  const plan = planSweep(settings, hooks.nameField ?? ((field) => field), addon);
  const { run, modes, parallel } = plan;
  await makeWritableFolder(run);
  const tell = tellOnce(hooks);
  await openOnce(plan, { ...hooks, onLog: tell(), addon });
  hooks.onModes?.(modes.map(({ mode }) => ({ ...mode })));
  const waiting = [...modes];
  const running = new Set<Training>();
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      if (signal?.aborted) return;
      await trainOne(next, running, hooks, tell(`${next.mode.arch} seed ${next.mode.seed}`));
    }
  };
  const stop = () => {
    for (const training of running) training.stop();
  };
  signal?.addEventListener('abort', stop, { once: true });
  try {
    await Promise.all(Array.from({ length: parallel }, work));
  } catch (error) {
    // A hook has thrown: no training goes on behind the caller's back.
    waiting.length = 0;
    stop();
    await Promise.all([...running].map(({ done }) => done));
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
  const all = modes.map(({ mode }) => mode);
  if (signal?.aborted && all.some(({ state }) => state === 'waiting' || state === 'training')) {
    throw new ModeEnsembleError('E_ABORTED', 'The sweep was stopped.');
  }
  return { run, modes: all, archs: summarizeModes(all) };
}

interface Planned {
  mode: SweepMode;
  args: string[];
  /** Images in a step. */
  batchSize: number;
}

interface Plan {
  run: string;
  modes: Planned[];
  /** No more than there are modes. */
  parallel: number;
  sets: ReturnType<typeof chooseTrainSets>;
  skipBadImages: boolean;
  threads: number;
}

/** Checks everything that can be checked before anything is read. @throws ModeEnsembleError E_CONFIG, E_DATA */
function planSweep(settings: SweepSettings, name: NameTrainField, addon: Addon): Plan {
  const { in: own, test, suite, data, root, device, workers, ranks, skipBadImages = false } = settings;
  const { allowChange = [], train = {}, transform = {}, run = DEFAULT_RUN } = settings;
  const launch = launchOf();
  if (launch) {
    const advice = `${name('ranks')} asks for several processes a training`;
    throw new ConfigError(`sweep: expected a process alone, found one of several (${launch.by}); ${advice}`);
  }
  const seeds = check(fields.seeds, settings.seeds, name('seeds'));
  const { batchSize } = check(trainSchema, train, name('train'));
  const threads = check(fields.threads, settings.threads ?? threadsOf(undefined), name('threads'));
  if (device !== undefined)
    resolveDevice(device, { addon, where: name('device'), local: { rank: 0, size: ranks ?? 1 } });
  const wanted = check(fields.parallel, settings.parallel ?? 1, name('parallel'));
  checkChangeable(allowChange, name('allowChange'));
  const sources = { in: own, test, suite, data, root };
  const sets = chooseTrainSets(sources, name);
  const archs = resolveAll(settings, name, addon);
  for (const arch of archs) {
    const own = overrideTransform(arch.transform, transform, name('crop'));
    const names = { suite: name('suite'), crop: name('crop') };
    requireSuiteSize(sets, arch.id, own, transform.crop !== undefined, names);
  }
  requireShares(batchSize, ranks ?? 1, name('batchSize'));
  const parallel = Math.min(wanted, archs.length * seeds.length);
  const shared: Omit<TrainArguments, 'arch' | 'seed'> = {
    ...{ ...sources, run, train, transform, allowChange, skipBadImages, device, workers, ranks },
    threads: Math.max(1, Math.floor(threads / (parallel * (ranks ?? 1)))),
  };
  const modes = archs.flatMap(({ id: arch }) =>
    seeds.map((seed): Planned => {
      const mode: SweepMode = { arch, seed, folder: modeFolder(run, arch, seed), state: 'waiting' };
      return { mode, args: trainArguments({ arch, seed, ...shared }), batchSize };
    }),
  );
  return { run, modes, parallel, sets, skipBadImages, threads };
}

/** @throws ConfigError also where two names are those of the same network */
function resolveAll({ arch: names, width }: SweepSettings, name: NameTrainField, addon: Addon): ModeArch[] {
  const where = name('arch');
  if (names.length === 0) throw new ConfigError(`${where}: expected at least one architecture, found an empty list`);
  const found = new Map<string, { as: string; arch: ModeArch }>();
  for (const as of names) {
    const arch = resolveArch(as, width, { where, architectures: addon });
    const before = found.get(arch.id);
    if (before) {
      const both = before.as === as ? `"${as}" twice` : `"${before.as}" and "${as}", which are both ${arch.id}`;
      throw new ConfigError(`${where}: expected each architecture once, found ${both}`);
    }
    found.set(arch.id, { as, arch });
  }
  return [...found.values()].map(({ arch }) => arch);
}

/**
 * Opens the data and closes them again. What is wrong with them is said once, not by every mode; and the index of a large set
 * is made once, before all trainings want it at the same time.
 */
async function openOnce({ sets, skipBadImages, threads }: Plan, hooks: SweepHooks): Promise<void> {
  const { signal, onProgress, onLog, addon } = hooks;
  hooks.onStage?.('open data');
  using opened = await openTrainSets(sets, { signal, onProgress, onLog, skipBadImages, threads, addon });
  requireSameClasses(opened.train, opened.test);
}

/** Hands on each message once: the trainings say what opening the data has said, each of them again. */
function tellOnce({ onLog }: SweepHooks): (who?: string) => (event: LogEvent) => void {
  const told = new Set<string>();
  return (who) => (event) => {
    if (told.has(event.message)) return;
    told.add(event.message);
    onLog?.(who === undefined ? event : { ...event, message: `${who}: ${event.message}` });
  };
}

/** Trains one mode; how it ended stands in the mode. */
async function trainOne(
  { mode, args, batchSize }: Planned,
  running: Set<Training>,
  { signal, onMode, start = startTraining }: SweepHooks,
  onLog: (event: LogEvent) => void,
): Promise<void> {
  const follower = new LogFollower(mode.folder);
  const change = (changes: Partial<SweepMode>) => {
    Object.assign(mode, changes);
    onMode?.({ ...mode });
  };
  const look = () => {
    const changes = progressOf(follower.read(), batchSize);
    if (changes) change(changes);
  };
  const training = start(args, onLog);
  running.add(training);
  change({ state: 'training', ...(existsSync(join(mode.folder, 'state.safetensors')) && { goesOn: true }) });
  const timer = setInterval(look, LOOK_MS);
  const end = await training.done;
  clearInterval(timer);
  running.delete(training);
  look();
  if ('trained' in end) {
    const { isNew, ...numbers } = end.trained;
    const told = isNew ? {} : toldBefore(mode.folder);
    change({ ...told, ...picked(numbers), state: isNew ? 'finished' : 'skipped', secondsLeft: undefined });
  } else if (!signal?.aborted || end.failure.code !== 'E_ABORTED') {
    // A process that was stopped before it could listen to signals was ended by this one.
    if (signal?.aborted && end.failure.code === 'E_INTERNAL') return;
    change({ state: 'failed', error: failureOf(end.failure), secondsLeft: undefined });
  }
}

/** Of what a training tells, what a mode has. */
function picked({ checkpoint, sha256, resumedAt, loss, accuracy, top5, seconds, imagesPerSecond }: Partial<SweepMode>) {
  const all = { checkpoint, sha256, resumedAt, loss, accuracy, top5, seconds, imagesPerSecond };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Partial<SweepMode>;
}

/** The numbers of a mode that was finished before: they stand in its log, if that is still there. */
function toldBefore(folder: string): Partial<SweepMode> {
  const last = lastEpoch(folder);
  if (!last || last.epoch !== last.epochs) return {};
  const { epoch, epochs, loss, accuracy, top5 } = last;
  return { epoch, epochs, share: 1, loss, accuracy, top5 };
}

function failureOf(failure: Failure): Failure {
  if (failure.code !== 'E_ABORTED') return failure;
  return {
    ...failure,
    message: 'its process was stopped by a signal from elsewhere; the same command goes on from there',
  };
}

/** Where a training is after these lines of its log. */
function progressOf(lines: readonly (EpochEvent | StepEvent)[], batchSize: number): Partial<SweepMode> | undefined {
  const last = lines.at(-1);
  if (!last) return undefined;
  const epoch = lines.findLast((line) => line.type === 'epoch');
  const { epochs, loss, imagesPerSecond } = last;
  const tested = epoch && { accuracy: epoch.accuracy, top5: epoch.top5 };
  if (last.type === 'epoch') {
    const secondsLeft = (epochs - last.epoch) * last.seconds;
    return { ...tested, epoch: last.epoch, epochs, share: 1, loss, imagesPerSecond, secondsLeft };
  }
  const steps = epochs * last.steps - last.globalStep;
  const secondsLeft = imagesPerSecond > 0 ? (steps * batchSize) / imagesPerSecond : undefined;
  const share = Math.min(0.99, last.step / last.steps);
  return { ...tested, epoch: last.epoch, epochs, share, loss, imagesPerSecond, secondsLeft };
}

function summarizeModes(modes: readonly SweepMode[]): SweepArch[] {
  return [...new Set(modes.map(({ arch }) => arch))].map((arch) => {
    const values = modes
      .filter((mode) => mode.arch === arch && (mode.state === 'finished' || mode.state === 'skipped'))
      .flatMap(({ accuracy }) => (accuracy === undefined ? [] : [accuracy]));
    return { arch, accuracy: values.length > 0 ? summarize(values) : null };
  });
}
