/** Sweeps around trainings that are none: what is started when, what is told of it, and how it ends. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { Command } from 'commander';
import { addTrainOptions, addTransformOptions, trainSettings, transformOverrides } from '../../lib/cli/options.js';
import type { ProgressStream } from '../../lib/cli/progress.js';
import { SweepProgress } from '../../lib/cli/sweep-progress.js';
import { check } from '../../lib/config/check.js';
import { ModeEnsembleError } from '../../lib/config/errors.js';
import { savingFields, trainFields } from '../../lib/config/recipes.js';
import { type TrainSettings, trainSchema } from '../../lib/config/schema.js';
import { LogFollower, lastEpoch } from '../../lib/modes/follow-log.js';
import type { EpochEvent, LogEvent, StepEvent } from '../../lib/native/contract.js';
import { type SweepMode, type SweepSettings, sweep } from '../../lib/run/sweep.js';
import { trainArguments } from '../../lib/run/train-arguments.js';
import { type Failure, startTraining, type Trained, type Training } from '../../lib/run/training-process.js';
import { fakeAddon, fakeArchitectures } from './run-addon.js';

const root = mkdtempSync(join(tmpdir(), 'sweep-'));
after(() => rmSync(root, { recursive: true }));
let runs = 0;

const newRun = () => join(root, `run-${runs++}`);
const addon = () => ({
  ...fakeAddon(),
  ...fakeArchitectures(['cifar-resnet18', 'R18', 64], ['cifar-resnet34', 'R34', 64]),
});

function settings(change: Partial<SweepSettings> = {}): SweepSettings & { run: string } {
  const run = newRun();
  return { arch: ['R18', 'R34'], seeds: [1, 2], in: 'builtin:shapes', threads: 8, ...change, run };
}

const epochEvent = (epoch: number, epochs: number, accuracy = 50): EpochEvent => ({
  ...{ type: 'epoch', epoch, epochs, globalStep: 10 * epoch, loss: 1 / epoch, trainTop1: 40, trainTop5: 80 },
  ...{ learningRate: 0.1, accuracy, top5: 90, testLoss: 1, seconds: 8, imagesPerSecond: 100, dataWait: 0 },
});
const stepEvent = (epoch: number, epochs: number, step: number): StepEvent => ({
  ...{ type: 'step', epoch, epochs, step, steps: 10, globalStep: 10 * (epoch - 1) + step, loss: 0.25 },
  ...{ top1: 40, top5: 80, learningRate: 0.1, imagesPerSecond: 256, dataWait: 0 },
});
const lineOf = (event: EpochEvent | StepEvent) => `${JSON.stringify(event)}\n`;

/** Trainings that end when the test says so. */
function fakeTrainings() {
  type End = { trained: Trained } | { failure: Failure };
  const started: { args: readonly string[]; name: string; stopped: number; onLog: (event: LogEvent) => void }[] = [];
  const ends: ((end: End) => void)[] = [];
  const start = (args: readonly string[], onLog: (event: LogEvent) => void): Training => {
    const value = (flag: string) => args.find((arg) => arg.startsWith(`--${flag}=`))?.split('=')[1];
    const one = { args, name: `${value('arch')} ${value('seed')}`, stopped: 0, onLog };
    started.push(one);
    return {
      done: new Promise((resolve) => ends.push(resolve)),
      stop: () => void one.stopped++,
    };
  };
  const end = async (index: number, how: End) => {
    ends[index]?.(how);
    await turn();
    await turn();
  };
  const trained = (accuracy: number): End => ({
    trained: { ...{ checkpoint: 'c', isNew: true, sha256: 's', loss: 1 }, accuracy, top5: 90, seconds: 2 },
  });
  return { started, start, end, trained };
}

/** Waits until so many have been started. */
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !condition(); i++) await sleep(1);
  assert.ok(condition());
}

test('arguments of train give back every setting', () => {
  const words = {
    ...{ recipe: 'imagenet', optimizer: 'adamw', decayOn: 'matrices', nesterov: true, schedule: 'cosine' },
    ...{ randomCrop: 'padded', flip: false, decode: 'fast', precision: 'bfloat16', learningRate: 1e-7 },
    ...{ cropScale: [0.1, 0.9], cropRatio: [2 / 3, 3 / 2] },
  };
  const schemas = { ...trainFields, ...savingFields };
  // Of all other fields, a number that they take.
  const numbers = Object.entries(schemas).map(([field, schema]) => [
    field,
    [0.25, 7].find((value) => schema.safeParse(value).success),
  ]);
  const train = { ...Object.fromEntries(numbers), ...words } as TrainSettings;
  assert.deepEqual(
    Object.keys(train).filter((field) => train[field as keyof TrainSettings] === undefined),
    [],
  );
  const transform = { mean: [-0.1, 0.2, 1 / 3] as [number, number, number], crop: 24 };
  const args = trainArguments({
    ...{ arch: 'cifar-resnet18-w4', seed: 3, run: '-odd run', in: 'a=b:c', train, transform, threads: 2 },
    ...{
      allowChange: ['epochs', 'flip'],
      skipBadImages: true,
      workers: undefined,
      ranks: undefined,
      device: undefined,
    },
  });
  const command = addTransformOptions(addTrainOptions(new Command('train')))
    .option('--arch <a>')
    .option('--seed <n>')
    .option('--run <dir>')
    .option('--in <spec>')
    .option('--threads <n>')
    .option('--allow-change <list>')
    .option('--skip-bad-images')
    .option('--json')
    .exitOverride();
  assert.equal(args[0], 'train');
  command.parse(args.slice(1), { from: 'user' });
  const flags = command.opts();
  assert.deepEqual(trainSettings(flags), check(trainSchema, train, 'train'));
  assert.deepEqual(transformOverrides(flags), transform);
  const { arch, seed, run, in: own, threads, allowChange, skipBadImages, json } = flags;
  assert.deepEqual(
    [arch, seed, run, own, threads, allowChange, skipBadImages, json],
    ['cifar-resnet18-w4', '3', '-odd run', 'a=b:c', '2', 'epochs,flip', true, true],
  );
});

test('as many trainings as are asked for go on at a time, with their part of the threads', async () => {
  const { started, start, end, trained } = fakeTrainings();
  const done = sweep(settings({ parallel: 3, ranks: 2, train: { epochs: 2 } }), { addon: addon(), start });
  await until(() => started.length === 3);
  assert.deepEqual(
    started.map(({ name }) => name),
    ['cifar-resnet18 1', 'cifar-resnet18 2', 'cifar-resnet34 1'],
  );
  for (const { args } of started) assert.ok(args.includes('--threads=1') && args.includes('--epochs=2'), args.join());
  await end(1, trained(60));
  assert.equal(started[3]?.name, 'cifar-resnet34 2');
  for (const [index, accuracy] of [
    [0, 50],
    [2, 10],
    [3, 20],
  ] as const) {
    await end(index, trained(accuracy));
  }
  const { modes, archs } = await done;
  assert.deepEqual(
    modes.map(({ arch, seed, state, accuracy }) => [arch, seed, state, accuracy]),
    [
      ['cifar-resnet18', 1, 'finished', 50],
      ['cifar-resnet18', 2, 'finished', 60],
      ['cifar-resnet34', 1, 'finished', 10],
      ['cifar-resnet34', 2, 'finished', 20],
    ],
  );
  assert.deepEqual(
    archs.map(({ arch, accuracy }) => [arch, accuracy?.n, accuracy?.mean, accuracy?.std]),
    [
      ['cifar-resnet18', 2, 55, Math.sqrt(50)],
      ['cifar-resnet34', 2, 15, Math.sqrt(50)],
    ],
  );
});

test('more trainings at a time than there are modes are none too many', async () => {
  const { started, start, end, trained } = fakeTrainings();
  const done = sweep(settings({ arch: ['R18'], parallel: 100 }), { addon: addon(), start });
  await until(() => started.length === 2);
  assert.ok(started[0]?.args.includes('--threads=4'));
  await end(0, trained(1));
  await end(1, trained(2));
  assert.equal((await done).archs[0]?.accuracy?.n, 2);
});

test('a mode that fails does not keep the others from being trained', async () => {
  const { started, start, end, trained } = fakeTrainings();
  const done = sweep(settings({ arch: ['R18'], seeds: [1, 2, 3] }), { addon: addon(), start });
  await until(() => started.length === 1);
  await end(0, { failure: { code: 'E_IO', message: 'another process works in this folder' } });
  await end(1, { failure: { code: 'E_ABORTED', message: 'stopped' } });
  await end(2, trained(70));
  const { modes, archs } = await done;
  assert.deepEqual(
    modes.map(({ state, error }) => [state, error?.message]),
    [
      ['failed', 'another process works in this folder'],
      ['failed', 'its process was stopped by a signal from elsewhere; the same command goes on from there'],
      ['finished', undefined],
    ],
  );
  assert.deepEqual([archs[0]?.accuracy?.n, archs[0]?.accuracy?.std], [1, null]);
});

test('stopped, it stops what is trained, begins nothing more, and waits', async () => {
  const { started, start, end, trained } = fakeTrainings();
  const abort = new AbortController();
  const states: string[] = [];
  const onMode = ({ seed, state }: SweepMode) => void states.push(`${seed} ${state}`);
  const done = sweep(settings({ arch: ['R18'], seeds: [1, 2, 3, 4], parallel: 3 }), {
    ...{ addon: addon(), start, onMode, signal: abort.signal },
  });
  await until(() => started.length === 3);
  abort.abort();
  assert.deepEqual(
    started.map(({ stopped }) => stopped),
    [1, 1, 1],
  );
  let isOver = false;
  const over = assert.rejects(done, { code: 'E_ABORTED' }).then(() => {
    isOver = true;
  });
  await end(0, { failure: { code: 'E_ABORTED', message: 'stopped' } });
  // Before it could listen.
  await end(1, { failure: { code: 'E_INTERNAL', message: 'its process was ended by SIGTERM' } });
  assert.equal(isOver, false);
  await end(2, trained(3));
  await over;
  assert.equal(started.length, 3);
  assert.deepEqual(states, ['1 training', '2 training', '3 training', '3 finished']);
});

test('a signal after the last batch changes nothing', async () => {
  const { started, start, end, trained } = fakeTrainings();
  const abort = new AbortController();
  const done = sweep(settings({ arch: ['R18'], seeds: [1] }), { addon: addon(), start, signal: abort.signal });
  await until(() => started.length === 1);
  abort.abort();
  await end(0, trained(3));
  assert.equal((await done).modes[0]?.state, 'finished');
});

test('a listener that throws ends the sweep, and its trainings', async () => {
  const { started, start, end } = fakeTrainings();
  const onMode = ({ seed }: SweepMode) => {
    if (seed === 2) throw new RangeError('mine');
  };
  const done = sweep(settings({ arch: ['R18'], parallel: 2, seeds: [1, 2, 3] }), { addon: addon(), start, onMode });
  const over = assert.rejects(done, /mine/);
  await until(() => started[0]?.stopped === 1 && started[1]?.stopped === 1);
  for (const index of [0, 1]) await end(index, { failure: { code: 'E_ABORTED', message: 'stopped' } });
  await over;
  assert.equal(started.length, 2);
});

test('a mode that was finished before tells its accuracy from its log', async () => {
  const { started, start, end } = fakeTrainings();
  const wanted = settings({ arch: ['R18'] });
  const folders = wanted.seeds.map((seed) => join(wanted.run, 'modes/cifar-resnet18', `seed-${seed}`));
  for (const folder of folders) mkdirSync(folder, { recursive: true });
  writeFileSync(join(folders[0] as string, 'log.jsonl'), `${lineOf(epochEvent(2, 2, 61))}{"type":"ep`);
  const done = sweep(wanted, { addon: addon(), start });
  await until(() => started.length === 1);
  await end(0, { trained: { checkpoint: 'c', isNew: false, sha256: 's' } });
  await end(1, { trained: { checkpoint: 'c', isNew: false, sha256: 's' } });
  const { modes, archs } = await done;
  assert.deepEqual(
    modes.map(({ state, accuracy }) => [state, accuracy]),
    [
      ['skipped', 61],
      ['skipped', undefined],
    ],
  );
  assert.deepEqual([archs[0]?.accuracy?.n, archs[0]?.accuracy?.mean], [1, 61]);
});

test('what is wrong with the data, or with what is asked for, is said before anything is trained', async () => {
  const { started, start } = fakeTrainings();
  const bad = addon();
  const failing = fakeAddon();
  failing.onJob = () => {
    throw new ModeEnsembleError('E_DATA', 'nowhere: there is no such folder');
  };
  await assert.rejects(sweep(settings(), { addon: { ...bad, openData: failing.openData }, start }), { code: 'E_DATA' });
  const refused = async (change: Partial<SweepSettings>, message: RegExp) =>
    assert.rejects(sweep(settings(change), { addon: addon(), start }), { code: 'E_CONFIG', message });
  await refused(
    { arch: ['R18', 'cifar-resnet18'] },
    /^arch: .* once, found "R18" and "cifar-resnet18", which are both/,
  );
  await refused({ arch: ['R18', 'R18-w64'] }, /which are both cifar-resnet18$/);
  await refused({ arch: ['R34', 'R34'] }, /^arch: expected each architecture once, found "R34" twice$/);
  await refused({ arch: ['R18', 'R43'] }, /^arch: unknown architecture "R43"; the nearest is "R34"/);
  await refused({ arch: [] }, /^arch: expected at least one architecture, found an empty list/);
  await refused({ seeds: [3, 3] }, /^seeds: seed 3 is given twice/);
  await refused({ seeds: [] }, /^seeds: expected a list of at least one seed, found an empty list/);
  await refused({ parallel: 0 }, /^parallel: expected a whole number of at least 1, found 0/);
  await refused({ ranks: 3 }, /^batchSize: expected a multiple of the 3 ranks, .* for instance 255, found 256/);
  await refused({ train: { epoch: 3 } as object }, /^train: epoch: unknown key; the nearest is "epochs"/);
  await refused({ allowChange: ['epoch'] }, /^allowChange: no setting is called "epoch"; the nearest is "epochs"/);
  await refused({ data: 'd' }, /^data: expected suite with it, found none/);
  await refused({ transform: { crop: 40 } }, /^crop: expected a crop of at most the resized 32 pixels, found 40/);
  Object.assign(process.env, { RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: 'localhost', MASTER_PORT: '1' });
  try {
    await refused({}, /^sweep: expected a process alone, found one of several \(RANK and WORLD_SIZE/);
  } finally {
    for (const name of ['RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT']) delete process.env[name];
  }
  assert.equal(started.length, 0);
});

test('where a training is stands in its log, and what it warns of is told once', async () => {
  const { started, start, end, trained } = fakeTrainings();
  const wanted = settings({ arch: ['R18'], parallel: 2 });
  const folder = join(wanted.run, 'modes/cifar-resnet18/seed-1');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'state.safetensors'), '');
  const seen: SweepMode[] = [];
  const told: string[] = [];
  const done = sweep(wanted, {
    ...{ addon: addon(), start, onMode: (mode) => seen.push(mode), onLog: ({ message }) => told.push(message) },
  });
  await until(() => started.length === 2);
  assert.equal(seen[0]?.goesOn, true);
  writeFileSync(join(folder, 'log.jsonl'), lineOf(epochEvent(1, 4, 33)) + lineOf(stepEvent(2, 4, 5)));
  for (const { onLog } of started) onLog({ type: 'log', level: 'warning', message: 'few images' });
  await end(0, trained(3));
  await end(1, trained(3));
  await done;
  const { epoch, epochs, share, accuracy, loss, secondsLeft, imagesPerSecond } = seen.at(2) as SweepMode;
  // 25 steps of 256 images are left, at 256 images/s.
  assert.deepEqual(
    [epoch, epochs, share, accuracy, loss, secondsLeft, imagesPerSecond],
    [2, 4, 0.5, 33, 0.25, 25, 256],
  );
  assert.deepEqual(told, ['cifar-resnet18 seed 1: few images']);
});

test('a log is followed also where a new one takes its place', () => {
  const folder = newRun();
  mkdirSync(folder);
  const file = join(folder, 'log.jsonl');
  const early = new LogFollower(folder);
  assert.deepEqual(early.read(), []);
  writeFileSync(file, lineOf(epochEvent(1, 3)));
  const late = new LogFollower(folder);
  assert.deepEqual([early.read().length, late.read().length], [1, 0]);
  const half = lineOf(epochEvent(2, 3));
  appendFileSync(file, half.slice(0, 20));
  assert.deepEqual([early.read().length, late.read().length], [0, 0]);
  appendFileSync(file, half.slice(20));
  assert.deepEqual([early.read()[0]?.epoch, late.read()[0]?.epoch], [2, 2]);
  writeFileSync(`${file}.new`, lineOf(epochEvent(1, 3)) + lineOf(epochEvent(2, 3)) + lineOf(epochEvent(3, 3)));
  renameSync(`${file}.new`, file);
  assert.equal(early.read().length, 3);
  assert.equal(early.read().length, 0);
  assert.equal(lastEpoch(folder)?.epoch, 3);
  assert.equal(lastEpoch(join(folder, 'nothing')), undefined);
});

test('a process that refuses its arguments says why', async () => {
  const end = await startTraining(['train', '--arch=R18', '--seed=1', '--epoch=3', '--json'], () => {}).done;
  assert.deepEqual(end, {
    failure: { code: 'E_CONFIG', message: "unknown option '--epoch=3' (Did you mean --epochs?)" },
  });
});

/** A stream that keeps what is written, and a clock that is set by hand. */
function recorder(terminal: Partial<ProgressStream>) {
  const lines: string[] = [];
  const clock = { now: 0 };
  const stream = { ...terminal, write: (text: string) => lines.push(text) } as unknown as ProgressStream;
  return { lines, clock, progress: new SweepProgress(stream, () => clock.now) };
}

const mode = (seed: number, change: Partial<SweepMode> = {}): SweepMode => ({
  ...{ arch: 'cifar-resnet18', seed, folder: '', state: 'waiting', ...change },
});

test('without a terminal, states and epochs are lines, and there is one at least every ten seconds', () => {
  const { lines, clock, progress } = recorder({ isTTY: false });
  progress.begin([mode(1), mode(2)]);
  const training = { state: 'training', epochs: 4, loss: 1.5, imagesPerSecond: 99.6, secondsLeft: 20 } as const;
  progress.update(mode(1, { state: 'training' }));
  progress.update(mode(1, { ...training, epoch: 1, share: 0.5 }));
  progress.update(mode(1, { ...training, epoch: 1, share: 1, accuracy: 20 }));
  clock.now = 9_000;
  progress.update(mode(1, { ...training, epoch: 2, share: 0.25, accuracy: 20 }));
  progress.tick();
  clock.now = 11_000;
  progress.tick();
  progress.tick();
  progress.update(mode(1, { state: 'finished', accuracy: 42 }));
  progress.update(mode(2, { state: 'failed', error: { code: 'E_IO', message: 'no room' } }));
  progress.end();
  assert.deepEqual(lines, [
    'cifar-resnet18 seed 1: training\n',
    'cifar-resnet18 seed 1: epoch 1/4, loss 1.5000, test accuracy 20.00 %, 100 images/s, 20 s left\n',
    '0 of 2 modes finished, training cifar-resnet18 seed 1 (epoch 2/4, 25 %); 11 s\n',
    'cifar-resnet18 seed 1: finished, test accuracy 42.00 %\n',
    'cifar-resnet18 seed 2: failed: no room\n',
  ]);
});

test('on a terminal, one table of all that fits is drawn anew, and taken away', () => {
  const { lines, clock, progress } = recorder({ isTTY: true, rows: 7, columns: 79 });
  progress.begin(Array.from({ length: 9 }, (_, seed) => mode(seed)));
  const training = { state: 'training', epochs: 4, loss: 1.5, imagesPerSecond: 99.6, secondsLeft: 20 } as const;
  progress.update(mode(8, { ...training, epoch: 2, share: 0.5, accuracy: 20 }));
  progress.update(mode(7, { state: 'failed' }));
  progress.update(mode(0, { state: 'finished' }));
  lines.length = 0;
  clock.now = 5_000;
  progress.tick();
  assert.deepEqual(lines[0]?.split('\n'), [
    '\r\x1b[6A\x1b[Jarchitecture    seed  state     epoch    loss  accuracy  time left  images/s',
    'cifar-resnet18     1  waiting',
    'cifar-resnet18     2  waiting',
    'cifar-resnet18     7  failed',
    'cifar-resnet18     8  training  1.5/4  1.5000   20.00 %       15 s       100',
    '5 more not shown; 1 of 9 modes finished, 1 failed, 1 in training; 5.0 s',
    '',
  ]);
  lines.length = 0;
  progress.line('news');
  progress.end();
  assert.deepEqual(lines, ['\r\x1b[6A\x1b[J', 'news\n']);
});
