/** What of a run folder was made with other settings than those that are asked for now. */

import { createHash } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { ConfigError, hasCode } from '../config/errors.js';
import { ioError } from '../config/files.js';
import { dependentsOf, type Step } from './graph.js';
import type { Journal } from './journal.js';
import { lookAt } from './step-kinds.js';
import type { Work } from './work.js';

/** So many names stand in a message. */
const NAMES_SHOWN = 5;

/**
 * Looks at the modes that this run is to train. Those of other settings are an error, or are put aside.
 *
 * @param update put them aside
 * @throws ConfigError that names the first one, what differs, and the steps that would be stale
 */
export async function checkModes(work: Work, steps: readonly Step[], update: boolean): Promise<void> {
  const stale = new Map<string, ConfigError>();
  for (const step of steps) {
    if (step.kind !== 'train') continue;
    try {
      await lookAt(work, step);
    } catch (error) {
      if (!hasCode(error, 'E_CONFIG')) throw error;
      stale.set(step.id, error as ConfigError);
    }
  }
  const [first] = stale.values();
  if (!first) return;
  const all = [...stale.keys(), ...dependentsOf(steps, new Set(stale.keys()))];
  if (!update) {
    const which = `${all.length} steps would be stale (${namesOf(all)})`;
    const advice = 'with --update what was trained is put aside, and they are made again';
    throw new ConfigError(`${first.message}; ${which}; ${advice}`);
  }
  for (const step of steps) {
    const reason = stale.get(step.id)?.message;
    if (reason === undefined) continue;
    const folder = work.folder.mode(work.plan(step.model as number).arch.id, step.seed as number);
    work.warn(`${folder} is put aside as ${putAside(folder, reason)}, and trained again`);
  }
}

/** @returns the new name */
function putAside(folder: string, reason: string): string {
  const hash = createHash('sha256').update(reason).digest('hex').slice(0, 8);
  let to = `${folder}.was-${hash}`;
  for (let i = 2; existsSync(to); i++) to = `${folder}.was-${hash}-${i}`;
  try {
    renameSync(folder, to);
  } catch (error) {
    throw ioError(error, to, 'written');
  }
  return to;
}

/** Tells which steps were done for other settings, and are done again. What they made stays: all of it is kept by content. */
export function tellStale(
  work: Work,
  steps: readonly Step[],
  journal: Journal,
  done: ReadonlyMap<string, string>,
): void {
  const before = new Set(
    journal.all.filter(({ event }) => event === 'done' || event === 'found').map(({ step }) => step),
  );
  const stale = steps.filter(({ id }) => before.has(id) && !done.has(id)).map(({ id }) => id);
  if (stale.length === 0) return;
  const message = `made for other settings or inputs, and made again: ${stale.length} steps (${namesOf(stale)})`;
  work.hooks.onLog?.({ type: 'log', level: 'info', message });
}

function namesOf(ids: readonly string[]): string {
  const more = ids.length > NAMES_SHOWN ? ` and ${ids.length - NAMES_SHOWN} more` : '';
  return `${ids.slice(0, NAMES_SHOWN).join(', ')}${more}`;
}
