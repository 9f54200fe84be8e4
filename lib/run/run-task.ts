/** One step of a run, in a job of a cluster. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { failureOf } from '../cluster/local.js';
import { lastOutcome, type TaskOutcome, waitFor, writeOutcome } from '../cluster/outcome-files.js';
import { ConfigError, hasCode, ModeEnsembleError } from '../config/errors.js';
import { ioError } from '../config/files.js';
import { completeExperiment } from '../config/load.js';
import type { Experiment } from '../config/schema.js';
import { getAddon } from '../native/load.js';
import { launchOf } from '../ranks/launch.js';
import { Ranks } from '../ranks/ranks.js';
import { clusterOf } from './cluster-settings.js';
import type { StageHooks } from './extract.js';
import { openRunFolder } from './folder.js';
import { makeGraph, type Step } from './graph.js';
import { planModels } from './run.js';
import { outcomesFolder } from './slurm-place.js';
import { KINDS, lookAt } from './step-kinds.js';
import { trainOne } from './step-train.js';
import { Work } from './work.js';

interface TaskFile {
  steps: string[];
  where: string;
  experiment: Experiment;
}

type Ended = Pick<TaskOutcome, 'event' | 'key' | 'code' | 'message'>;

/**
 * Does one step, and writes down how it ended. Where it is one of several processes that train together, the first alone does.
 *
 * @param file of an array of steps, as the executor has written it
 * @param index the place of the step
 * @returns how it ended; what was thrown is in it
 */
export async function runTask(file: string, index: number, hooks: StageHooks): Promise<Ended & { step: string }> {
  const began = new Date().toISOString();
  const clock = performance.now();
  const job = jobOf(index);
  const launch = launchOf();
  let step = `element ${index} of ${file}`;
  let ended: Ended;
  try {
    const task = await readTask(file);
    step = task.steps[index] ?? step;
    if (task.steps[index] === undefined) throw new ConfigError(`${file}: expected a step at ${index}, found none`);
    using ranks = launch && (await Ranks.join(launch.options));
    ended = await doStep(task, step, { ranks, outcomes: outcomesFolder(file) }, hooks);
  } catch (error) {
    const { code, message } = failureOf(step, error);
    ended = hasCode(error, 'E_ABORTED') ? { event: 'stopped' } : { event: 'failed', code, message };
  }
  if (!launch || launch.options.rank === 0) {
    const seconds = (performance.now() - clock) / 1000;
    const restart = Number(process.env.SLURM_RESTART_COUNT ?? 0);
    const about = { step, job, restart, began, ended: new Date().toISOString(), seconds };
    await writeOutcome(outcomesFolder(file), { ...about, host: hostname(), pid: process.pid, ...ended });
  }
  return { step, ...ended };
}

function jobOf(index: number): string {
  const { SLURM_ARRAY_JOB_ID: array, SLURM_JOB_ID: job = '0' } = process.env;
  return `${array ?? job}_${index}`;
}

/** A disk that shows files late may not have it yet. */
async function readTask(file: string): Promise<TaskFile> {
  let fault: unknown;
  let task: TaskFile | undefined;
  await waitFor(
    async () => {
      try {
        task = JSON.parse(await readFile(file, 'utf8'));
      } catch (error) {
        fault = error;
      }
      return task !== undefined;
    },
    60,
    sleep,
  );
  if (task) return task;
  throw fault instanceof SyntaxError ? fault : ioError(fault, file, 'read');
}

async function doStep(
  { where, experiment: given }: TaskFile,
  id: string,
  { ranks, outcomes }: { ranks: Ranks | undefined; outcomes: string },
  hooks: StageHooks,
): Promise<Ended> {
  const experiment = completeExperiment(given, where);
  const { lateSeconds } = clusterOf(experiment);
  const addon = getAddon();
  const models = planModels(experiment, where, addon);
  const folder = await openRunFolder(experiment.run);
  using work = await Work.open({ models, folder, addon, hooks });
  const steps = makeGraph(models);
  const step = steps.find((one) => one.id === id);
  if (!step) throw new ConfigError(`${where}: expected a run with the step "${id}", found none`);
  if (ranks) {
    await trainOne(work, step as Parameters<typeof trainOne>[1], ranks);
    return { event: 'done', key: (await lookAt(work, step)).key };
  }
  const missing = await missingNeed(work, steps, step, { outcomes, lateSeconds });
  if (missing) return { event: 'blocked', message: `it needs "${missing.id}", whose result is not there` };
  using _lock = await lockStep(work, id, lateSeconds);
  const before = await lookAt(work, step);
  if (before.isDone) return { event: 'found', key: before.key };
  await KINDS[step.kind].perform(work, [step]);
  const { key, isDone } = await lookAt(work, step);
  if (isDone) return { event: 'done', key };
  throw new Error(`${id}: it was done, and yet its result is not there`);
}

/** What another machine has written may show late. */
async function missingNeed(
  work: Work,
  steps: readonly Step[],
  { needs }: Step,
  { outcomes, lateSeconds }: { outcomes: string; lateSeconds: number },
): Promise<Step | undefined> {
  let missing: Step | undefined;
  await waitFor(
    async () => {
      missing = undefined;
      for (const step of steps) {
        if (needs.includes(step.id) && !(await lookAt(work, step)).isDone) {
          missing = step;
          break;
        }
      }
      // One that has failed will not show, however late.
      const last = missing && lastOutcome(outcomes, missing.id);
      return missing === undefined || (last !== undefined && last.event !== 'done' && last.event !== 'found');
    },
    lateSeconds,
    sleep,
  );
  return missing;
}

/** A step is never done by two processes at a time: one whose node was thought lost may still be at work. */
async function lockStep(work: Work, id: string, lateSeconds: number): Promise<Disposable> {
  const name = createHash('sha256').update(id).digest('hex').slice(0, 16);
  const path = join(work.folder.steps, `step-${name}.lock`);
  let held: { release(): void } | undefined;
  let fault: unknown;
  await waitFor(
    async () => {
      try {
        held = work.addon.lockFile(path);
      } catch (error) {
        if (!hasCode(error, 'E_IO')) throw error;
        fault = error;
      }
      return held !== undefined;
    },
    lateSeconds,
    sleep,
  );
  if (!held) throw new ModeEnsembleError('E_IO', `${id}: another process does it (${(fault as Error).message})`);
  const lock = held;
  return { [Symbol.dispose]: () => lock.release() };
}
