/**
 * Does tasks as jobs of Slurm. Tasks that wait for the same others are one job array; arrays wait for each other, so that the
 * queue goes on by itself where this process is gone. Jobs and this process meet in files of the run folder alone.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterSettings, Resources } from '../config/cluster.js';
import { ModeEnsembleError } from '../config/errors.js';
import { ioError, writeFileAtomic } from '../config/files.js';
import type { Assignment, Failure, Outcome, Task } from './executor.js';
import { eventsOf, readOutcomes, type TaskOutcome, waitFor } from './outcome-files.js';
import { type QueuedTask, type SlurmCommands, slurmCommands } from './slurm-commands.js';

export interface SlurmPlace {
  /** Of everything that is about jobs; on a disk that all nodes share. */
  folder: string;
  settings: ClusterSettings;
  /** Processes of a task, and threads of each. */
  shapeOf(task: Task): { ranks: number; threads: number };
  /** What does a task: it is given the file of its array, and the place in it. */
  command: readonly string[];
  /** Goes into the file of an array. */
  content: Readonly<Record<string, unknown>>;
  /** Names jobs: they differ from those of other runs. */
  id: string;
  onLog?: ((message: string) => void) | undefined;
  /** Told how many tasks wait and are at work, whenever that has changed. */
  onQueue?: ((waiting: number, running: number) => void) | undefined;
  commands?: SlurmCommands | undefined;
  /** How long a job that was told to stop may take to be in the queue again. */
  settleSeconds?: number | undefined;
}

/** Ends after which a task is handed in again: it was not its own fault. */
const AGAIN = ['TIMEOUT', 'NODE_FAIL', 'PREEMPTED', 'BOOT_FAIL', 'DEADLINE'];

/**
 * A task that was told to stop ends as one that failed, and Slurm shows it so for a moment before it is back in the queue (requeued
 * or preempted); so many looks, and seconds at least, are waited for that.
 */
const LOOKS = 3;
const SETTLE_SECONDS = 10;

/** One array that was handed in. */
interface Handed {
  name: string;
  steps: string[];
  /** Once Slurm has said it. */
  job: string | undefined;
}

/** The folder in which tasks say how they ended. */
export function outcomesIn(folder: string): string {
  return join(folder, 'outcomes');
}

/**
 * Hands in what is not done, and follows it. Told to stop, it leaves the jobs to themselves; called again, it takes up those that
 * are in the queue.
 *
 * @throws ModeEnsembleError E_DEVICE where Slurm cannot be asked, E_ABORTED, E_IO
 */
export async function runOnSlurm<T extends Task>(assignment: Assignment<T>, place: SlurmPlace): Promise<Outcome> {
  const run = new SlurmRun(assignment, place);
  return run.toTheEnd();
}

class SlurmRun<T extends Task> {
  private readonly commands: SlurmCommands;
  private readonly tasks: ReadonlyMap<string, T>;
  private readonly done: Set<string>;
  private readonly failed = new Map<string, Failure>();
  private readonly attempts = new Map<string, number>();
  /** Where each task is in the queue, `<id>_<index>`. */
  private readonly jobs = new Map<string, string>();
  /** Of jobs that were told to stop and have left the queue: until when they may come back, by the steady clock, in ms. */
  private readonly stopped = new Map<string, number>();
  private readonly seen = new Set<string>();
  private told = '';

  constructor(
    private readonly assignment: Assignment<T>,
    private readonly place: SlurmPlace,
  ) {
    this.commands = place.commands ?? slurmCommands;
    this.tasks = new Map(assignment.tasks.map((task) => [task.id, task]));
    this.done = new Set(assignment.done);
    try {
      mkdirSync(outcomesIn(place.folder), { recursive: true });
    } catch (error) {
      throw ioError(error, place.folder, 'written');
    }
    for (const name of readOutcomes(outcomesIn(place.folder)).keys()) this.seen.add(name);
  }

  async toTheEnd(): Promise<Outcome> {
    await this.takeUp();
    for (;;) {
      const waiting = this.pending();
      if (waiting.length > 0) await this.submit(waiting);
      if (this.jobs.size === 0) break;
      await this.follow();
    }
    const blocked = this.assignment.tasks.map(({ id }) => id).filter((id) => this.isLost(id) && !this.failed.has(id));
    for (const step of blocked) this.assignment.tell({ event: 'blocked', step });
    return { failed: [...this.failed.values()], blocked };
  }

  private isLost(id: string): boolean {
    if (this.done.has(id)) return false;
    if (this.failed.has(id)) return true;
    return this.tasks.get(id)?.needs.some((need) => this.isLost(need)) ?? true;
  }

  /** Neither done nor lost, nor in the queue. */
  private pending(): T[] {
    return this.assignment.tasks.filter(({ id }) => !this.done.has(id) && !this.jobs.has(id) && !this.isLost(id));
  }

  /** Finds what an earlier process has handed in and is not over. */
  private async takeUp(): Promise<void> {
    const queue = await this.commands.queue();
    let count = 0;
    for (const { name, steps } of await this.handed()) {
      for (const { job } of queue.filter((task) => task.name === name)) {
        const step = steps[indexOf(job)];
        if (step === undefined || this.done.has(step) || !this.tasks.has(step)) continue;
        this.jobs.set(step, job);
        count++;
      }
    }
    if (count > 0) this.place.onLog?.(`taking up ${count} tasks that are in the queue`);
  }

  private async handed(): Promise<Handed[]> {
    const names = readdirSync(this.place.folder).filter((name) => name.endsWith('.tasks.json'));
    return names.sort().flatMap((file) => {
      try {
        const { name, steps } = JSON.parse(readFileSync(join(this.place.folder, file), 'utf8'));
        return [{ name, steps, job: undefined }];
      } catch {
        return [];
      }
    });
  }

  private async submit(tasks: readonly T[]): Promise<void> {
    const limit = Math.max(1, await this.commands.arrayLimit());
    // Tasks of one kind and shape that wait for the same others.
    const groups = new Map<string, T[]>();
    for (const task of tasks) {
      const waitsFor = task.needs.filter((need) => !this.done.has(need)).sort();
      const { ranks, threads } = this.place.shapeOf(task);
      const id = JSON.stringify([task.kind, ranks, threads, waitsFor]);
      groups.set(id, [...(groups.get(id) ?? []), task]);
    }
    let count = 0;
    for (const group of groups.values()) {
      for (let from = 0; from < group.length; from += limit) {
        await this.submitArray(group.slice(from, from + limit));
        count++;
      }
    }
    this.place.onLog?.(`handed in ${tasks.length} tasks in ${count} job arrays`);
  }

  private async submitArray(tasks: readonly T[]): Promise<void> {
    const { folder, id, content, settings, command } = this.place;
    const [first] = tasks as [T];
    const number = readdirSync(folder).filter((name) => name.endsWith('.tasks.json')).length + 1;
    const name = `${id}-${number}`;
    const file = join(folder, `${String(number).padStart(5, '0')}.tasks.json`);
    const steps = tasks.map((task) => task.id);
    // Before it is handed in: where this process ends in between, the job is found by its name.
    await writeFileAtomic(file, `${JSON.stringify({ name, steps, ...content })}\n`);
    const { ranks, threads } = this.place.shapeOf(first);
    const waitsFor = first.needs.flatMap((need) => (this.done.has(need) ? [] : (this.jobs.get(need) ?? [])));
    const options = [
      `--job-name=${name}`,
      `--array=0-${tasks.length - 1}`,
      `--output=${join(folder, `${String(number).padStart(5, '0')}-%a.log`)}`,
      `--ntasks=${ranks}`,
      `--cpus-per-task=${threads}`,
      '--requeue',
      ...(waitsFor.length > 0 ? [`--dependency=afterany:${dependencies(waitsFor).join(':')}`] : []),
      ...resourceOptions({ ...settings, ...defined(settings[first.kind as 'train'] ?? {}) }),
    ];
    const words = [...(ranks > 1 ? ['srun', `--ntasks=${ranks}`, `--cpus-per-task=${threads}`] : []), ...command, file];
    // exec: signals reach the program itself.
    const script = `#!/bin/sh\nexec ${words.map(quoted).join(' ')} "$SLURM_ARRAY_TASK_ID"\n`;
    const job = await this.commands.submit(options, script);
    for (const [index, { id: step }] of tasks.entries()) {
      this.jobs.set(step, `${job}_${index}`);
      this.attempts.set(step, (this.attempts.get(step) ?? 0) + 1);
      this.assignment.tell({ event: 'submitted', step, job: `${job}_${index}` });
    }
  }

  /** Until none of the tasks is in the queue. */
  private async follow(): Promise<void> {
    const { settings, onLog, onQueue } = this.place;
    const { signal } = this.assignment;
    while (this.jobs.size > 0) {
      await sleep(1000 * settings.pollSeconds, undefined, { signal }).catch(() => {});
      if (signal?.aborted) {
        onLog?.(`${this.jobs.size} tasks go on in the queue; the same command follows them again`);
        throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.');
      }
      const queue = await this.commands.queue();
      this.enter();
      const there = new Map(queue.map((task): [string, QueuedTask] => [task.job, task]));
      const counts = [...this.jobs.values()].flatMap((job) => there.get(job)?.state ?? []);
      const running = counts.filter((state) => state !== 'PENDING').length;
      const now = `${counts.length - running}/${running}`;
      if (now !== this.told) onQueue?.(counts.length - running, running);
      this.told = now;
      for (const [step, job] of [...this.jobs]) {
        if (!this.jobs.has(step)) continue;
        const task = there.get(job);
        if (task?.state === 'PENDING' && /Held|NeverSatisfied/i.test(task.reason)) {
          const message = `job ${job} is held in the queue (${task.reason}); scontrol release ${job} lets it go on`;
          this.fail(step, message);
          // What waits for it would wait as long.
          for (const other of [...this.jobs.keys()]) if (this.isLost(other)) this.jobs.delete(other);
        } else if (!task) await this.end(step, job);
        else this.stopped.delete(job);
      }
    }
  }

  /** What tasks have said of themselves since the last look. */
  private enter(): void {
    for (const [name, outcome] of readOutcomes(outcomesIn(this.place.folder))) {
      if (this.seen.has(name)) continue;
      this.seen.add(name);
      for (const event of eventsOf(name, outcome)) this.assignment.tell(event);
    }
  }

  /** A task that has left the queue: done only where its result is there. */
  private async end(step: string, job: string): Promise<void> {
    const { lateSeconds, attempts } = this.place.settings;
    const task = this.tasks.get(step) as T;
    const isDone = async () => (await this.assignment.look(task)).isDone;
    const end = await this.commands.endOf(job);
    const isWell = end?.state === 'COMPLETED';
    const last = () => this.outcomeOf(job);
    const wasStopped = end?.state === 'FAILED' && last()?.event === 'stopped';
    if (wasStopped && !(await isDone()) && this.mayComeBack(job)) return;
    const hasEnded = async () => (await isDone()) || !['done', 'found', undefined].includes(last()?.event);
    await waitFor(hasEnded, isWell || end === null ? lateSeconds : 0, sleep);
    this.enter();
    this.jobs.delete(step);
    if (await isDone()) {
      this.done.add(step);
      return;
    }
    const outcome = last();
    if (outcome?.event === 'blocked') {
      // What it waited for has failed, or shows late: then it is handed in again.
      const isAgain = (this.attempts.get(step) ?? 0) < attempts;
      if (!isAgain && !this.isLost(step))
        this.fail(step, outcome.message ?? 'what it needs is not there', outcome.code);
      return;
    }
    if (outcome?.event === 'failed') {
      this.fail(step, `${outcome.message} (job ${job} on ${outcome.host})`, outcome.code, false);
      return;
    }
    if (end && (wasStopped || AGAIN.includes(end.state)) && (this.attempts.get(step) ?? 0) < attempts) {
      this.place.onLog?.(`${step}: job ${job} has ended with ${end.state}; it is handed in again`);
      return;
    }
    this.fail(step, `job ${job} ${wordsOf(end?.state, end?.exitCode)}${await this.lastWords(step, job)}`);
  }

  private mayComeBack(job: string): boolean {
    const { settings, settleSeconds = SETTLE_SECONDS } = this.place;
    const wait = Math.max(settleSeconds, LOOKS * settings.pollSeconds);
    const until = this.stopped.get(job) ?? performance.now() + 1000 * wait;
    this.stopped.set(job, until);
    return performance.now() < until;
  }

  private outcomeOf(job: string): TaskOutcome | undefined {
    return [...readOutcomes(outcomesIn(this.place.folder)).values()].filter((one) => one.job === job).at(-1);
  }

  private fail(step: string, message: string, code?: string, isTold = true): void {
    this.jobs.delete(step);
    const failure = { step, code: (code ?? 'E_INTERNAL') as Failure['code'], message };
    this.failed.set(step, failure);
    // What a task has said itself has been entered.
    if (isTold) this.assignment.tell({ event: 'failed', step, code: failure.code, message });
  }

  /** Of the task's output. */
  private async lastWords(step: string, job: string): Promise<string> {
    for (const file of readdirSync(this.place.folder)
      .filter((name) => name.endsWith('.tasks.json'))
      .reverse()) {
      try {
        const { steps } = JSON.parse(readFileSync(join(this.place.folder, file), 'utf8'));
        if (steps[indexOf(job)] !== step) continue;
        const log = file.replace('.tasks.json', `-${indexOf(job)}.log`);
        const line = readFileSync(join(this.place.folder, log), 'utf8').trimEnd().split('\n').at(-1) ?? '';
        return line === '' ? '' : `: ${line.slice(0, 300)}`;
      } catch {
        // There is no output.
      }
    }
    return '';
  }
}

const WORDS: Readonly<Record<string, string>> = {
  CANCELLED: 'was cancelled',
  TIMEOUT: 'ran out of its time',
  NODE_FAIL: 'has lost its node',
  OUT_OF_MEMORY: 'ran out of memory',
  PREEMPTED: 'had to make room for another',
  FAILED: 'has failed',
  COMPLETED: 'has ended, and yet its result is not there',
};

function wordsOf(state: string | undefined, exitCode = ''): string {
  if (state === undefined) return 'is gone, and Slurm does not know how it ended';
  const words = WORDS[state] ?? `has ended with ${state}`;
  return state === 'FAILED' && exitCode !== '' ? `${words} with exit code ${exitCode.split(':')[0]}` : words;
}

function indexOf(job: string): number {
  return Number(job.split('_')[1] ?? Number.NaN);
}

/** More elements of one array than this are the whole of it. */
const MOST_ELEMENTS = 16;

function dependencies(jobs: readonly string[]): string[] {
  const arrays = new Map<string, string[]>();
  for (const job of new Set(jobs)) {
    const id = job.split('_')[0] as string;
    arrays.set(id, [...(arrays.get(id) ?? []), job]);
  }
  return [...arrays].flatMap(([id, elements]) => (elements.length > MOST_ELEMENTS ? [id] : elements));
}

function resourceOptions(resources: Resources): string[] {
  const { partition, account, qos, gpus, time, memory, options = [] } = resources;
  return [
    ...(partition === undefined ? [] : [`--partition=${partition}`]),
    ...(account === undefined ? [] : [`--account=${account}`]),
    ...(qos === undefined ? [] : [`--qos=${qos}`]),
    ...(gpus === undefined || gpus === 0 ? [] : [`--gpus=${gpus}`]),
    ...(time === undefined ? [] : [`--time=${time}`]),
    ...(memory === undefined ? [] : [`--mem=${memory}`]),
    ...options,
  ];
}

function defined<V extends object>(values: V): V {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as V;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
