import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Assignment, Task, TaskEvent } from '../../lib/cluster/executor.js';
import { runLocally } from '../../lib/cluster/local.js';
import { waitFor, writeOutcome } from '../../lib/cluster/outcome-files.js';
import { outcomesIn, runOnSlurm } from '../../lib/cluster/slurm.js';
import { type QueuedTask, type SlurmCommands, slurmCommands } from '../../lib/cluster/slurm-commands.js';
import { clusterSchema } from '../../lib/config/cluster.js';
import { ModeEnsembleError } from '../../lib/config/errors.js';
import { completeExperiment, expandModels } from '../../lib/config/load.js';
import { Journal } from '../../lib/run/journal.js';
import { parseShard, shardRange } from '../../lib/run/shards.js';

const root = mkdtempSync(join(tmpdir(), 'graph-'));
after(() => rmSync(root, { recursive: true }));

const task = (id: string, needs: string[] = [], group?: string): Task => ({ id, kind: 'train', needs, group });

/** Tasks that note what was done; those in `bad` fail. */
function assignment(tasks: Task[], bad: Record<string, ModeEnsembleError | Error> = {}) {
  const made = new Set<string>();
  const performed: string[][] = [];
  const events: TaskEvent[] = [];
  const whole: Assignment = {
    tasks,
    done: new Set(),
    look: async ({ id }) => ({ key: `key of ${id}`, isDone: made.has(id) }),
    perform: async (group) => {
      performed.push(group.map(({ id }) => id));
      for (const { id } of group) if (bad[id]) throw bad[id];
      for (const { id } of group) made.add(id);
    },
    tell: (event) => events.push(event),
  };
  return { whole, made, performed, events };
}

test('what is ready together is done in one go, and a failure keeps from being done only what needs it', async () => {
  const tasks = [
    task('a'),
    task('b'),
    task('a1', ['a'], 'g'),
    task('b1', ['b'], 'g'),
    task('all', ['a1', 'b1']),
    task('c', ['a']),
  ];
  const well = assignment(tasks);
  assert.deepEqual(await runLocally(well.whole), { failed: [], blocked: [] });
  assert.deepEqual(well.performed, [['a'], ['b'], ['a1', 'b1'], ['all'], ['c']]);
  const ill = assignment(tasks, { b: new ModeEnsembleError('E_DATA', 'no') });
  const { failed, blocked } = await runLocally(ill.whole);
  assert.deepEqual([failed.map(({ step, code }) => [step, code]), blocked], [[['b', 'E_DATA']], ['b1', 'all']]);
  assert.deepEqual(ill.performed, [['a'], ['b'], ['a1'], ['c']]);
  assert.deepEqual(
    ill.events.filter(({ event }) => event === 'done').map(({ step }) => step),
    ['a', 'a1', 'c'],
  );
});

test('where one of a group has a fault of its own, the others are done; an abort ends all', async () => {
  const tasks = [task('x', [], 'g'), task('y', [], 'g'), task('z')];
  const ill = assignment(tasks, { x: new ModeEnsembleError('E_CHECKPOINT', 'damaged') });
  const { failed } = await runLocally(ill.whole);
  assert.deepEqual([failed.map(({ step }) => step), [...ill.made].sort()], [['x'], ['y', 'z']]);
  const stopped = assignment(tasks, { x: new ModeEnsembleError('E_ABORTED', 'stop') });
  await assert.rejects(runLocally(stopped.whole), { code: 'E_ABORTED' });
  assert.deepEqual(stopped.made, new Set());
});

test('the journal goes on after half a line, and counts lines where the clock jumps', () => {
  const path = join(root, 'steps.jsonl');
  const first = new Journal(path);
  first.write({ event: 'done', step: 'a', key: 'k', time: '2031-01-01T00:00:00Z' });
  appendFileSync(path, '{"n":2,"event":"do');
  const second = new Journal(path);
  second.found('a', 'k');
  second.found('b', 'k');
  second.write({ event: 'done', step: 'c', key: undefined, time: '1999-01-01T00:00:00Z' });
  const third = new Journal(path);
  assert.deepEqual(
    third.all.map(({ n, event, step }) => [n, event, step]),
    [
      [1, 'done', 'a'],
      [2, 'found', 'b'],
      [3, 'done', 'c'],
    ],
  );
  assert.equal(readFileSync(path, 'utf8').split('\n').length, 5);
});

test('a file that shows late is waited for, and no longer than is said', async () => {
  let clock = 0;
  let looks = 0;
  const pause = async (ms: number) => {
    clock += ms;
  };
  const late = async () => ++looks > 3;
  assert.equal(await waitFor(late, 10, pause, () => clock), true);
  clock = 0;
  assert.equal(
    await waitFor(
      async () => false,
      10,
      pause,
      () => clock,
    ),
    false,
  );
  assert.equal(clock, 10_000);
});

/** A queue in memory: jobs end as `ends` says, in the order in which they were handed in. */
function fakeSlurm(state: { made: Set<string> }, ends: (step: string, attempt: number) => string, limit = 1000) {
  const queue: (QueuedTask & { step: string })[] = [];
  const ended = new Map<string, string>();
  const attempts = new Map<string, number>();
  const submitted: { options: readonly string[]; steps: string[] }[] = [];
  let id = 0;
  const commands: SlurmCommands = {
    async submit(options, script) {
      const job = String(++id);
      const [file = ''] = /\S+\.tasks\.json/.exec(script) ?? [];
      const { name, steps } = JSON.parse(readFileSync(file.replaceAll("'", ''), 'utf8'));
      submitted.push({ options, steps });
      for (const [i, step] of steps.entries())
        queue.push({ job: `${job}_${i}`, name, state: 'RUNNING', reason: '', step });
      return job;
    },
    async queue() {
      const now = queue.splice(0, 1);
      for (const { job, step } of now) {
        attempts.set(step, (attempts.get(step) ?? 0) + 1);
        const end = ends(step, attempts.get(step) as number);
        ended.set(job, end);
        if (end === 'COMPLETED') state.made.add(step);
      }
      return queue.map(({ step: _step, ...rest }) => rest);
    },
    endOf: async (job) => ({ state: ended.get(job) ?? 'COMPLETED', exitCode: '1:0' }),
    arrayLimit: async () => limit,
  };
  return { commands, submitted };
}

const settings = clusterSchema.parse({
  pollSeconds: 0.01,
  lateSeconds: 0.1,
  attempts: 2,
  partition: 'p',
  train: { time: '1:00:00' },
});
let places = 0;
const place = (commands: SlurmCommands) => ({
  folder: join(root, `slurm-${places++}`),
  settings,
  shapeOf: () => ({ ranks: 1, threads: 3 }),
  command: ['node', 'step'],
  content: {},
  id: 'test',
  commands,
});

test('tasks that wait for the same are one array, no larger than the site allows, behind what they wait for', async () => {
  const tasks = [task('a'), task('b'), task('c'), task('d', ['a']), task('e', ['a', 'b'])];
  const work = assignment(tasks);
  const { commands, submitted } = fakeSlurm(work, () => 'COMPLETED', 2);
  assert.deepEqual(await runOnSlurm(work.whole, place(commands)), { failed: [], blocked: [] });
  assert.deepEqual(
    submitted.map(({ steps }) => steps),
    [['a', 'b'], ['c'], ['d'], ['e']],
  );
  const dependencies = submitted.map(({ options }) => options.find((option) => option.startsWith('--dependency')));
  assert.deepEqual(dependencies, [undefined, undefined, '--dependency=afterany:1_0', '--dependency=afterany:1_0:1_1']);
  for (const option of ['--array=0-1', '--partition=p', '--time=1:00:00', '--cpus-per-task=3']) {
    assert.ok(submitted[0]?.options.includes(option), option);
  }
});

test('what ran out of time or lost its node is handed in again, what was cancelled is reported', async () => {
  const tasks = [task('a'), task('b'), task('c'), task('d', ['b'])];
  const work = assignment(tasks);
  const ends = (step: string, attempt: number) =>
    step === 'a' && attempt === 1
      ? 'TIMEOUT'
      : step === 'b'
        ? 'CANCELLED'
        : step === 'c'
          ? 'NODE_FAIL'
          : step === 'd'
            ? 'FAILED'
            : 'COMPLETED';
  const { commands, submitted } = fakeSlurm(work, ends);
  const { failed } = await runOnSlurm(work.whole, place(commands));
  assert.deepEqual([...work.made], ['a']);
  const messages = new Map(failed.map(({ step, message }) => [step, message]));
  assert.match(messages.get('b') as string, /^job 1_1 was cancelled/);
  assert.match(messages.get('c') as string, /has lost its node/);
  assert.equal(submitted.filter(({ steps }) => steps.includes('c')).length, 2);
  assert.equal(submitted.filter(({ steps }) => steps.includes('b')).length, 1);
});

test('what was told to stop may come back into the queue by itself, and is handed in again where it does not', async () => {
  for (const comesBack of [true, false]) {
    const work = assignment([task('a')]);
    const at = { ...place(slurmCommands), settleSeconds: comesBack ? 10 : 0 };
    let submissions = 0;
    let looks = 0;
    const commands: SlurmCommands = {
      submit: async () => String(++submissions),
      async queue() {
        looks++;
        const name = 'test-1';
        if (submissions === 1 && looks === 2) {
          const about = { step: 'a', event: 'stopped', restart: 0, job: '1_0', began: '', ended: '' } as const;
          await writeOutcome(outcomesIn(at.folder), { ...about, seconds: 1, host: 'here', pid: 1 });
        }
        const isGone = submissions === 1 && (comesBack ? looks === 2 || looks === 3 : looks > 1);
        if (submissions === 0 || isGone) return [];
        if (looks < (comesBack ? 5 : 20) && submissions === 1) {
          return [{ job: '1_0', name, state: looks > 3 ? 'PENDING' : 'RUNNING', reason: 'BeginTime' }];
        }
        work.made.add('a');
        return [];
      },
      endOf: async () => ({ state: work.made.has('a') ? 'COMPLETED' : 'FAILED', exitCode: '1:0' }),
      arrayLimit: async () => 10,
    };
    assert.deepEqual(await runOnSlurm(work.whole, { ...at, commands }), { failed: [], blocked: [] });
    assert.equal(submissions, comesBack ? 1 : 2);
  }
});

test('parts begin where batches do, and are the whole together', () => {
  for (const [images, batch, count] of [
    [100, 16, 4],
    [7, 16, 3],
    [1000, 10, 7],
  ] as const) {
    let at = 0;
    for (let index = 1; index <= count; index++) {
      const { from, to } = shardRange(images, batch, { index, count });
      assert.equal(from, at);
      assert.ok(to === images || to % batch === 0);
      at = to;
    }
    assert.equal(at, images);
  }
  assert.deepEqual(parseShard('2/4', '--shard'), { index: 2, count: 4 });
  assert.throws(() => parseShard('5/4', '--shard'), { code: 'E_CONFIG' });
});

test('an experiment of several architectures is one for each, with what differs', () => {
  const base = { in: 'builtin:shapes', out: ['builtin:blends'], seeds: [1, 2] };
  const models = [
    { arch: 'R50', train: { batchSize: 1000 } },
    { arch: 'DN121', width: 32, seeds: [3], train: { batchSize: 800 }, evaluate: { batchSize: 8 } },
    { arch: 't2tvit', train: { recipe: 't2t-vit' as const, epochs: 2 } },
  ];
  const whole = completeExperiment({ ...base, models, train: { recipe: 'imagenet', epochs: 5 } });
  const [a, b, c] = expandModels(whole);
  assert.deepEqual([a?.arch, a?.train.batchSize, a?.train.epochs, a?.seeds], ['R50', 1000, 5, [1, 2]]);
  assert.deepEqual([b?.width, b?.seeds, b?.train.batchSize, b?.evaluate.batchSize], [32, [3], 800, 8]);
  assert.deepEqual([c?.train.optimizer, c?.train.epochs, c?.train.batchSize], ['adamw', 2, 512]);
  assert.deepEqual(completeExperiment(whole), whole);
  assert.deepEqual(
    expandModels(completeExperiment({ ...base, arch: ['R18', 'WRN28X10'] })).map(({ arch }) => arch),
    ['R18', 'WRN28X10'],
  );
  assert.throws(() => completeExperiment(base), {
    code: 'E_CONFIG',
    message: /arch: expected the name of an architecture/,
  });
  assert.throws(() => completeExperiment({ ...base, arch: 'R18', models }), {
    message: /models: expected either arch or models/,
  });
});
