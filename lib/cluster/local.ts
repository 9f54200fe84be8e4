/** Does all tasks in this process, one after the other. */
import { ERROR_CODES, hasCode, ModeEnsembleError } from '../config/errors.js';
import type { Assignment, Failure, Outcome, Task } from './executor.js';

/** Faults of one member of a group, which do not keep the others from being done. */
const OF_ONE = ['E_CHECKPOINT', 'E_CONFIG', 'E_NUMERIC'] as const;
/** Faults after which nothing else would go well. */
const OF_ALL = ['E_ABORTED', 'E_ADDON'] as const;

/**
 * A task that fails does not keep others from being done but those that need it.
 *
 * @throws ModeEnsembleError E_ABORTED where the signal is raised, E_ADDON
 */
export async function runLocally<T extends Task>(assignment: Assignment<T>): Promise<Outcome> {
  const { tasks } = assignment;
  const done = new Set(assignment.done);
  const failed: Failure[] = [];
  const blocked: string[] = [];
  const ended = new Set<string>(done);
  const lost = new Set<string>();
  const attempt = async (group: readonly T[]): Promise<void> => {
    const failure = await doGroup(group, assignment);
    for (const { id } of group) ended.add(id);
    if (!failure) {
      for (const { id } of group) done.add(id);
    } else if (group.length > 1 && OF_ONE.some((code) => hasCode(failure, code))) {
      for (const task of group) await attempt([task]);
    } else {
      for (const { id } of group) {
        lost.add(id);
        failed.push(failureOf(id, failure));
        const { code, message } = failed.at(-1) as Failure;
        assignment.tell({ event: 'failed', step: id, code, message });
      }
    }
  };
  for (const task of tasks) {
    if (ended.has(task.id)) continue;
    if (task.needs.some((need) => lost.has(need))) {
      lost.add(task.id);
      ended.add(task.id);
      blocked.push(task.id);
      assignment.tell({ event: 'blocked', step: task.id });
      continue;
    }
    const isReady = ({ id, needs }: T) => !ended.has(id) && needs.every((need) => done.has(need));
    const others = task.group === undefined ? [task] : tasks.filter((other) => other.group === task.group);
    await attempt(others.filter(isReady));
  }
  return { failed, blocked };
}

/** @returns why the tasks failed; undefined where they are done */
async function doGroup<T extends Task>(
  group: readonly T[],
  { look, perform, tell, signal }: Assignment<T>,
): Promise<unknown> {
  if (signal?.aborted) throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.');
  const keys = new Map<string, string | undefined>();
  const began = performance.now();
  try {
    for (const task of group) {
      const { key } = await look(task);
      keys.set(task.id, key);
      tell({ event: 'begin', step: task.id, key });
    }
    await perform(group);
    const seconds = (performance.now() - began) / 1000;
    for (const task of group) {
      const { key, isDone } = await look(task);
      if (!isDone) throw new Error(`${task.id}: it was done, and yet its result is not there`);
      tell({ event: 'done', step: task.id, key, seconds });
    }
    return undefined;
  } catch (error) {
    if (OF_ALL.some((code) => hasCode(error, code))) {
      for (const { id } of group) tell({ event: 'stopped', step: id, key: keys.get(id) });
      throw error;
    }
    return error;
  }
}

export function failureOf(step: string, error: unknown): Failure {
  const code = ERROR_CODES.find((known) => hasCode(error, known)) ?? 'E_INTERNAL';
  return { step, code, message: error instanceof Error ? error.message : String(error), error };
}
