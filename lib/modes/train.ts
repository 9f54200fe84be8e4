import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalHash, type Difference, differences, type Json } from '../config/canonical.js';
import { describe } from '../config/describe.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { makeWritableFolder } from '../config/folders.js';
import { type SavingSettings, splitSettings, type TrainSettings } from '../config/recipes.js';
import type { DataSet } from '../data/open.js';
import type { Addon, EpochEvent, StepEvent, TrainResult, TransformOptions } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import type { Ranks } from '../ranks/ranks.js';
import { archOptions, type ModeArch } from './arch.js';
import { checkpointIn, readCheckpoint } from './find.js';
import { recipeOptions } from './job-settings.js';
import { openLog } from './log.js';
import { type ModeMetadata, type ModeSettings, readMetadata, writeMetadata } from './metadata.js';
import { findState, removeStates, type State, sweepFolder } from './state.js';

export interface TrainModeSettings {
  arch: ModeArch;
  seed: number;
  /** Training data; its classes are the network's. */
  train: DataSet;
  /** Validated on after each epoch; does not shape the weights. */
  test: DataSet;
  settings: TrainSettings;
  /** Default: the architecture's. */
  transform?: TransformOptions | undefined;
  /** `cpu` or `cuda:N`; default: cpu. */
  device?: string | undefined;
  threads: number;
  workers: number;
  /** The mode's own folder: `checkpoint.safetensors` and `log.jsonl` go here, and the state of a training that is not finished. */
  folder: string;
  /** Settings (CHANGEABLE) in which a training that goes on may differ from the one that was stopped. */
  allowChange?: readonly string[] | undefined;
  /** Only validates: the mode must be there. */
  evaluate?: boolean | undefined;
  /** The processes that train this mode together, each with its own share of every batch; rank 0 alone writes files. */
  ranks?: Ranks | undefined;
  addon?: Addon | undefined;
}

export interface TrainedMode {
  seed: number;
  checkpoint: string;
  /** False where a finished mode with the same settings was there already. */
  isNew: boolean;
  /** Of the training; absent where the mode was there already. */
  result?: TrainResult | undefined;
  /** The step from which a training that was stopped went on. */
  resumedAt?: number | undefined;
}

/**
 * Trains one mode, goes on with one that was stopped, or finds it finished. A mode that is there is never overwritten. Stopped
 * by the signal, it finishes the batch and writes down what it needs to go on.
 *
 * @throws ModeEnsembleError E_CONFIG where a mode, or the state of one, with other settings is there, E_DATA where the two
 *   sets' classes differ, E_ABORTED, E_IO, also where another process works in the folder, E_DEVICE where another rank has
 *   ended
 */
export async function trainMode(options: TrainModeSettings, hooks: JobHooks = {}): Promise<TrainedMode> {
  const { seed, train, test, folder, ranks, addon = getAddon() } = options;
  requireSameClasses(train, test);
  const task = taskOf(options, addon);
  const checkpoint = checkpointIn(folder);
  if (ranks && !ranks.leads) return follow(options, task, ranks, hooks);
  const finished = async () => {
    await requireSame(checkpoint, task.metadata, addon, options.evaluate ? SHAPING_LOGITS : undefined);
    await ranks?.share<Told>({ finished: true });
    if (!options.evaluate) return { seed, checkpoint, isNew: false };
    const result = await startTraining(options, task, undefined, hooks).done;
    return { seed, checkpoint, isNew: false, result };
  };
  if (existsSync(checkpoint)) return finished();
  if (options.evaluate) throw new ConfigError(`${checkpoint}: expected a finished mode to evaluate, found nothing`);
  await makeWritableFolder(folder);
  const lock = addon.lockFile(join(folder, 'lock'));
  try {
    // Whoever held the folder before may have finished it.
    return existsSync(checkpoint) ? await finished() : await lead(options, task, hooks);
  } finally {
    lock.release();
  }
}

interface Task {
  wanted: ModeSettings;
  metadata: Record<string, string>;
  saving: SavingSettings;
  addon: Addon;
}

function taskOf(
  options: Omit<TrainModeSettings, 'ranks'> & { ranks?: { size: number } | undefined },
  addon: Addon,
): Task {
  const { arch, seed, train, settings, ranks } = options;
  const { recipe: whole, saving } = splitSettings(settings);
  const { dropout = arch.dropout, ...recipe } = whole;
  const wanted: ModeSettings = {
    arch: archOptions({ ...arch, dropout }, train.classes.length),
    data: train.fingerprint,
    train: recipe,
    transform: options.transform ?? arch.transform,
    ...(ranks && ranks.size > 1 && { ranks: ranks.size }),
  };
  return { wanted, metadata: writeMetadata(seed, train.classes, wanted), saving, addon };
}

/** What is known of a mode before anything is trained. */
export interface ModeOutlook {
  /** SHA-256 of all that shapes the weights. */
  key: string;
  state: 'absent' | 'begun' | 'finished';
}

/**
 * Looks into a mode's folder.
 *
 * @param ranks processes that are to train it together
 * @throws ModeEnsembleError E_CONFIG where a mode, or the state of one, with other settings is there; E_CHECKPOINT, E_IO
 */
export async function lookAtMode(options: Omit<TrainModeSettings, 'ranks'>, ranks = 1): Promise<ModeOutlook> {
  const { folder, seed, allowChange = [], addon = getAddon() } = options;
  const { metadata } = taskOf({ ...options, ranks: { size: ranks } }, addon);
  const key = canonicalHash({ mode: metadata.settingsHash ?? '', seed });
  if (existsSync(checkpointIn(folder))) {
    await requireSame(checkpointIn(folder), metadata, addon);
    return { key, state: 'finished' };
  }
  return { key, state: (await findState(folder, metadata, allowChange, addon)) ? 'begun' : 'absent' };
}

/** What rank 0 tells the others before they train. */
type Told = { finished: true } | { finished: false; metadata: Record<string, string> };

/** Trains as rank 0, or alone, in a folder that no other process works in. */
async function lead(options: TrainModeSettings, task: Task, hooks: JobHooks): Promise<TrainedMode> {
  const { seed, folder, allowChange = [], ranks } = options;
  const { addon } = task;
  sweepFolder(folder);
  const checkpoint = checkpointIn(folder);
  const state = await findState(folder, task.metadata, allowChange, addon);
  const changes = state?.changes ?? [];
  const metadata = changes.length > 0 ? { ...task.metadata, changes: JSON.stringify(changes) } : task.metadata;
  if (state) {
    const message = `going on from step ${state.steps} (${state.path})`;
    hooks.onLog?.({ type: 'log', level: 'info', message });
  }
  await ranks?.share<Told>({ finished: false, metadata });
  const log = openLog(folder, state);
  const write = (event: StepEvent | EpochEvent) => {
    if (!log.write(event)) job.abort();
  };
  const job = startTraining(options, { ...task, metadata }, state, {
    ...hooks,
    onStep(event) {
      write(event);
      hooks.onStep?.(event);
    },
    onEpoch(event) {
      write(event);
      hooks.onEpoch?.(event);
    },
  });
  try {
    const result = await job.done;
    removeStates(folder);
    return { seed, checkpoint, isNew: true, result, ...(state && { resumedAt: state.steps }) };
  } catch (error) {
    throw log.fault ?? error;
  }
}

/** Trains as another rank. */
async function follow(options: TrainModeSettings, task: Task, ranks: Ranks, hooks: JobHooks): Promise<TrainedMode> {
  const { seed, folder } = options;
  const checkpoint = checkpointIn(folder);
  const told = await ranks.share<Told>();
  if (told.finished && !options.evaluate) return { seed, checkpoint, isNew: false };
  if (told.finished)
    return { seed, checkpoint, isNew: false, result: await startTraining(options, task, undefined, hooks).done };
  const [leader, own] = [readMetadata(told.metadata, 'rank 0'), readMetadata(task.metadata, `rank ${ranks.rank}`)];
  if (leader?.settingsHash !== own?.settingsHash || leader?.seed !== own?.seed) {
    const { field, a, b } = differenceOf(leader, own);
    throw new ConfigError(
      `rank ${ranks.rank}: expected ${field} ${describe(a)} as rank 0 has it, found ${describe(b)}`,
    );
  }
  const result = await startTraining(options, { ...task, metadata: told.metadata }, undefined, hooks).done;
  return { seed, checkpoint, isNew: true, result };
}

function startTraining(
  { seed, train, test, device = 'cpu', threads, workers, folder, ranks, evaluate = false }: TrainModeSettings,
  { wanted, metadata, saving, addon }: Task,
  state: State | undefined,
  hooks: JobHooks,
) {
  const { reportSteps, ...when } = saving;
  const options = {
    ...recipeOptions(wanted.train),
    // A finished mode that is only evaluated leaves no state behind when it is stopped.
    saving: { ...when, folder: evaluate ? '' : folder },
    reportSteps,
    arch: wanted.arch,
    seed,
    train: train.handle,
    test: test.handle,
    transform: wanted.transform,
    device,
    threads,
    workers,
    ranks: ranks?.handle ?? null,
    checkpoint: checkpointIn(folder),
    evaluate,
    resume: state?.path ?? '',
    metadata,
  };
  return startJob((sink) => addon.train(options, sink), hooks);
}

/** In-distribution labels are only comparable where both parts have the same classes. */
export function requireSameClasses(train: DataSet, test: DataSet): void {
  const at = train.classes.findIndex((name, index) => test.classes[index] !== name);
  if (at < 0 && train.classes.length === test.classes.length) return;
  const index = at < 0 ? train.classes.length : at;
  const [expected, found] = [describe(train.classes[index]), describe(test.classes[index])];
  const what = `class ${index} is ${expected} in the training data and ${found} in the test data`;
  throw new ModeEnsembleError('E_DATA', `${train.name}: ${what}; expected the same classes in both`);
}

/** What of a mode's settings its outputs depend on, beside the weights. */
const SHAPING_LOGITS = /^(seed|arch|transform)\b/;

/** @param fields which of them count; default: all */
async function requireSame(
  checkpoint: string,
  metadata: Record<string, string>,
  addon: Addon,
  fields: RegExp = /./,
): Promise<void> {
  const there = await readCheckpoint(checkpoint, addon);
  const advice = 'set it back, use another run folder, or remove this file';
  if (!there) {
    throw new ConfigError(
      `${checkpoint}: expected a mode of this run, found a checkpoint of another program; ${advice}`,
    );
  }
  const wanted = readMetadata(metadata, checkpoint);
  if (there.settingsHash === wanted?.settingsHash && there.seed === wanted.seed) return;
  const difference = differencesOf(there, wanted).find(({ field }) => fields.test(field));
  if (!difference) return;
  const { field, a, b } = difference;
  const found = `was trained with ${field} ${describe(a)}, but ${describe(b)} is asked for now`;
  throw new ConfigError(`${checkpoint}: ${found}; ${advice}`);
}

function differenceOf(a: ModeMetadata | undefined, b: ModeMetadata | undefined): Difference {
  return differencesOf(a, b)[0] ?? { field: 'settingsHash', a: a?.settingsHash, b: b?.settingsHash };
}

function differencesOf(a: ModeMetadata | undefined, b: ModeMetadata | undefined): Difference[] {
  const whole = (mode: ModeMetadata | undefined): Json => ({
    seed: mode?.seed ?? null,
    ...(mode?.settings as { [key: string]: Json }),
  });
  return differences(whole(a), whole(b));
}
