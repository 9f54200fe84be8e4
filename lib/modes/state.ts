/** What a training that was stopped has left behind, and whether this one may go on from it. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { differences, type Json } from '../config/canonical.js';
import { describe } from '../config/describe.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';
import { trainFields } from '../config/recipes.js';
import { suggestion } from '../config/suggest.js';
import type { Addon } from '../native/contract.js';
import { inspectCheckpoint } from './inspect.js';
import { readMetadata } from './metadata.js';

const NEWEST = 'state.safetensors';
const KEPT = /^state(-\d+)?\.safetensors$/;
/** What a process that was killed was about to write. */
const UNFINISHED = /^((state|checkpoint|epoch-\d+|log)(-\d+)?\.(safetensors|jsonl)|events)\.tmp(-|$)/;

/**
 * Settings that may change while a training goes on: the weights, what the optimizer keeps and the place in the data mean the
 * same under both values.
 */
const FIXED: readonly string[] = ['optimizer', 'decayOn', 'batchSize', 'dropout'];
export const CHANGEABLE: readonly string[] = [
  ...Object.keys(trainFields).filter((name) => !FIXED.includes(name)),
  'ranks',
];

/** A change of settings in mid-training, kept in the metadata of all that is written afterwards. */
export interface Change {
  step: number;
  field: string;
  from: Json;
  to: Json;
}

export interface State {
  path: string;
  /** Finished epochs, and steps of all of them. */
  epoch: number;
  steps: number;
  /** All there have been, now included. */
  changes: Change[];
}

/** @throws ConfigError for a name that no setting has, or one of a setting that must stay */
export function checkChangeable(names: readonly string[], where: string): void {
  const unknown = names.find((name) => !CHANGEABLE.includes(name));
  if (unknown === undefined) return;
  if (FIXED.includes(unknown)) throw new ConfigError(`${where}: ${unknown} cannot change while a training goes on`);
  throw new ConfigError(`${where}: no setting is called ${describe(unknown)}; ${suggestion(unknown, CHANGEABLE)}`);
}

/**
 * The state in the mode's folder, where there is one.
 *
 * @param metadata of the training that is asked for
 * @param allowChange settings that may differ
 * @throws ModeEnsembleError E_CONFIG where it belongs to another training, E_CHECKPOINT where it is damaged
 */
export async function findState(
  folder: string,
  metadata: Record<string, string>,
  allowChange: readonly string[],
  addon: Addon,
): Promise<State | undefined> {
  const path = join(folder, NEWEST);
  if (!existsSync(path)) return undefined;
  const { metadata: found } = await inspectCheckpoint(path, { addon });
  const [there, wanted] = [readMetadata(found, path), readMetadata(metadata, path)];
  const [epoch, steps] = [Number(found.epoch), Number(found.steps)];
  if (!there || !wanted || !Number.isSafeInteger(epoch) || !Number.isSafeInteger(steps)) {
    throw new ModeEnsembleError('E_CHECKPOINT', `${path}: expected the state of a training, found something else`);
  }
  const whole = ({ seed, settings }: typeof there): Json => ({ seed, ...(settings as { [key: string]: Json }) });
  const changes: Change[] = JSON.parse(found.changes ?? '[]');
  for (const { field, a: from = null, b: to = null } of differences(whole(there), whole(wanted))) {
    requireAllowed(path, { field, from, to }, allowChange);
    changes.push({ step: steps, field, from, to });
  }
  return { path, epoch, steps, changes };
}

function requireAllowed(path: string, { field, from, to }: Omit<Change, 'step'>, allowed: readonly string[]): void {
  const setting = /^(?:train\.)?([^.[]+)/.exec(field)?.[1];
  const mayChange = setting !== undefined && CHANGEABLE.includes(setting);
  if (mayChange && allowed.includes(setting)) return;
  const what = `a training with ${field} ${describe(from)} was stopped here, but ${describe(to)} is asked for now`;
  const advice = `${mayChange ? `--allow-change ${setting} goes on all the same, or ` : ''}set it back, use another run folder`;
  throw new ConfigError(`${path}: ${what}; ${advice}, or remove this file to begin again`);
}

/** Removes what a killed process left unfinished. To be called by who holds the folder. */
export function sweepFolder(folder: string): void {
  removeAll(folder, UNFINISHED);
}

/** Removes the states of a training that has ended. */
export function removeStates(folder: string): void {
  removeAll(folder, KEPT);
}

function removeAll(folder: string, names: RegExp): void {
  try {
    for (const name of readdirSync(folder)) if (names.test(name)) rmSync(join(folder, name), { force: true });
  } catch (error) {
    throw ioError(error, folder, 'written');
  }
}
