/** What tasks that were done elsewhere say of themselves: a file for each, `<folder>/<job>.<restart>.json`, whole or not there. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import type { TaskEvent } from './executor.js';

export interface TaskOutcome {
  step: string;
  event: 'done' | 'found' | 'failed' | 'blocked' | 'stopped';
  /** `<id>_<index>`, and how often it was begun again before. */
  job: string;
  restart: number;
  key?: string | undefined;
  /** By the clock of the machine, ISO 8601. */
  began: string;
  ended: string;
  /** By its steady clock. */
  seconds: number;
  host: string;
  pid: number;
  /** Of a failure. */
  code?: string | undefined;
  message?: string | undefined;
}

export async function writeOutcome(folder: string, outcome: TaskOutcome): Promise<void> {
  await makeWritableFolder(folder);
  await writeFileAtomic(join(folder, `${outcome.job}.${outcome.restart}.json`), `${JSON.stringify(outcome)}\n`);
}

/** All there are, by name; a file that cannot be understood is passed over. */
export function readOutcomes(folder: string): Map<string, TaskOutcome> {
  const found = new Map<string, TaskOutcome>();
  let names: string[] = [];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch {
    return found;
  }
  for (const name of names.sort()) {
    try {
      const outcome = JSON.parse(readFileSync(join(folder, name), 'utf8'));
      if (typeof outcome?.step === 'string' && typeof outcome.event === 'string') found.set(name, outcome);
    } catch {
      // It shows late on a shared disk; the next look finds it.
    }
  }
  return found;
}

/** How a step has ended last; undefined where no task has told. */
export function lastOutcome(folder: string, step: string): TaskOutcome | undefined {
  const own = [...readOutcomes(folder).values()].filter((outcome) => outcome.step === step);
  // By the jobs' numbers, not by the clock.
  const order = ({ job, restart }: TaskOutcome) => Number.parseInt(job, 10) + restart / 1000;
  return own.sort((a, b) => order(a) - order(b)).at(-1);
}

/** As the journal has it. */
export function eventsOf(name: string, outcome: TaskOutcome): TaskEvent[] {
  const { step, event, key, job, began, ended, seconds, host, pid, code, message } = outcome;
  const about = { step, key, job, host, pid, from: name };
  const begin: TaskEvent[] =
    event === 'blocked' || event === 'found' ? [] : [{ ...about, event: 'begin', time: began }];
  return [...begin, { ...about, event, time: ended, seconds, code, message }];
}

/**
 * Looks again and again until something is there: a shared disk may show late what another machine has written.
 *
 * @param seconds the longest time, by the steady clock
 * @returns whether it is there
 */
export async function waitFor(
  isThere: () => Promise<boolean>,
  seconds: number,
  pause: (ms: number) => Promise<unknown>,
  now: () => number = () => performance.now(),
): Promise<boolean> {
  const until = now() + 1000 * seconds;
  for (let wait = 100; ; wait = Math.min(2 * wait, 5000)) {
    if (await isThere()) return true;
    const left = until - now();
    if (left <= 0) return false;
    await pause(Math.min(wait, left));
  }
}
