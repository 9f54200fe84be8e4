/** Trainings that are stopped, killed or refused, and go on. */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readCheckpoint } from '../../lib/modes/find.js';
import { inspectCheckpoint } from '../../lib/modes/inspect.js';
import { EVENTS_FILE } from '../../lib/modes/tensorboard.js';
import { writeCifar } from '../helpers/cifar.js';
import { sha256 } from '../unit/run-addon.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-resume-'));
after(() => rmSync(folder, { recursive: true, force: true }));
before(() => writeCifar(join(folder, 'cifar'), 640, 64));

/** Everything random takes part: order, crops, flips, dropout, mixing. 2 epochs of 10 steps. */
const TRAINING = [
  ...['train', '--arch', 'wrn-10-1', '--dropout', '0.3', '--in', 'cifar10:cifar', '--seed', '5', '--threads', '2'],
  ...['--epochs', '2', '--batch-size', '64', '--optimizer', 'adamw', '--learning-rate', '0.001', '--mixup', '0.4'],
  ...['--report-steps', '4'],
];

const start = (...args: string[]) =>
  spawn(process.execPath, [bin, ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
const cli = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: folder, timeout: 240_000 });

function succeeds(...args: string[]): string {
  const { status, stderr } = cli(...args);
  assert.equal(status, 0, stderr);
  return stderr;
}

function fails(status: number, message: RegExp, ...args: string[]): void {
  const result = cli(...args);
  assert.equal(result.status, status, result.stderr);
  assert.match(result.stderr.trimEnd().split('\n').at(-1) ?? '', message);
}

const at = (name: string, file: string) => join(folder, name, file);
const weights = (name: string) => sha256(readFileSync(at(name, 'checkpoint.safetensors')));
/** The lines without what the clock shapes. */
const log = (name: string) =>
  readFileSync(at(name, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { seconds: _, imagesPerSecond: __, dataWait: ___, time: ____, ...numbers } = JSON.parse(line);
      return numbers;
    });

/** Starts a training, and stops it when it has written a state. */
async function stopWithState(signal: NodeJS.Signals, ...args: string[]): Promise<{ status: number; stderr: string }> {
  const name = args[args.indexOf('--out') + 1] as string;
  const child = start(...args);
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = once(child, 'exit');
  while (!existsSync(at(name, 'state.safetensors')) && child.exitCode === null) await sleep(2);
  child.kill(signal);
  const [status] = await ended;
  return { status, stderr };
}

let whole = '';
let duration = 0;
before(() => {
  const began = performance.now();
  succeeds(...TRAINING, '--out', 'whole');
  duration = performance.now() - began;
  whole = weights('whole');
});

describe('a training that was stopped', () => {
  it('ends with the same bytes, killed at any of 20 moments', async () => {
    let wentOn = 0;
    for (let i = 0; i < 20; i++) {
      const name = `killed-${i}`;
      const child = start(...TRAINING, '--out', name, '--state-steps', '1');
      const ended = once(child, 'exit');
      // Moments that no seed fixes: what is tested holds at all of them.
      const moment = Math.random() * duration;
      await Promise.race([sleep(moment), ended]);
      child.kill('SIGKILL');
      await ended;
      if (existsSync(at(name, 'state.safetensors'))) wentOn++;
      succeeds(...TRAINING, '--out', name);
      assert.equal(weights(name), whole, `killed after ${moment.toFixed(0)} ms`);
      assert.deepEqual(log(name), log('whole'), `killed after ${moment.toFixed(0)} ms`);
      assert.deepEqual(readdirSync(join(folder, name)).sort(), ['checkpoint.safetensors', EVENTS_FILE, 'log.jsonl']);
    }
    assert.ok(wentOn >= 4, `only ${wentOn} of 20 had begun`);
  });

  it('by SIGTERM or SIGINT finishes the batch, writes its state, and ends with 143 or 130', async () => {
    for (const [signal, code] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
    ] as const) {
      const { status, stderr } = await stopWithState(signal, ...TRAINING, '--out', signal, '--state-steps', '7');
      assert.equal(status, code, stderr);
      assert.match(stderr, new RegExp(`mode-ensemble: stopped; what was finished is kept in ${signal}`));
      const { metadata } = await inspectCheckpoint(at(signal, 'state.safetensors'));
      const lines = log(signal).length;
      assert.match(succeeds(...TRAINING, '--out', signal), new RegExp(`going on from step ${metadata.steps} `));
      assert.equal(weights(signal), whole);
      assert.ok(lines < log(signal).length);
      assert.deepEqual(log(signal), log('whole'));
    }
  });

  it('keeps as many states as are asked for', async () => {
    const args = [...TRAINING, '--out', 'kept', '--state-steps', '2', '--keep-states', '3'];
    const child = start(...args);
    const ended = once(child, 'exit');
    const states = () => (existsSync(join(folder, 'kept')) ? readdirSync(join(folder, 'kept')) : []);
    const older = () => states().filter((name) => /^state-\d+\.safetensors$/.test(name));
    while (older().length < 2 && child.exitCode === null) await sleep(2);
    child.kill('SIGKILL');
    await ended;
    assert.ok(older().length >= 2 && older().length <= 3, older().join());
    // The one before the newest is as good.
    copyFileSync(at('kept', older().sort().at(-1) as string), at('kept', 'state.safetensors'));
    succeeds(...args);
    assert.equal(weights('kept'), whole);
    assert.deepEqual(older(), []);
  });
});

describe('a training that goes on', () => {
  before(() => stopWithState('SIGTERM', ...TRAINING, '--out', 'changed', '--state-steps', '3'));
  const changed = (...flags: string[]) => [...TRAINING, '--out', 'changed', ...flags];

  it('is refused with other settings, naming the field', () => {
    fails(
      2,
      /train\.learningRate 0\.001 was stopped here, but 0\.01 is .*--allow-change learningRate/,
      ...changed('--learning-rate', '0.01'),
    );
    fails(
      2,
      /changed\/state\.safetensors: a training with seed 5 .* but 6 is asked for now/,
      ...changed('--seed', '6'),
    );
    fails(2, /train\.batchSize 64 (?!.*allow-change)/, ...changed('--batch-size', '32'));
    fails(2, /arch\.dropout 0\.3/, ...changed('--arch', 'R18', '--width', '8', '--dropout', '0'));
    fails(2, /: a training with data .* was stopped here/, ...changed('--in', 'builtin:shapes'));
    fails(
      2,
      /--allow-change: no setting is called "?learnigRate"?; the nearest is "learningRate"/,
      ...changed('--allow-change', 'learnigRate'),
    );
    fails(2, /--allow-change: batchSize cannot change/, ...changed('--allow-change', 'batchSize'));
  });

  it('is refused where its state is damaged', () => {
    const state = at('changed', 'state.safetensors');
    copyFileSync(state, at('changed', 'good'));
    truncateSync(state, 5000);
    fails(1, /changed\/state\.safetensors: /, ...changed());
    copyFileSync(at('changed', 'good'), state);
    rmSync(at('changed', 'good'));
  });

  it('takes changes that are allowed, and its weights tell of them', async () => {
    succeeds(...changed('--epochs', '3', '--label-smoothing', '0.1', '--allow-change', 'epochs,labelSmoothing'));
    const { metadata } = await inspectCheckpoint(at('changed', 'checkpoint.safetensors'));
    const [first, second] = JSON.parse(metadata.changes ?? '[]');
    assert.deepEqual([first.field, first.from, first.to], ['train.epochs', 2, 3]);
    assert.deepEqual([second.field, second.to, second.step], ['train.labelSmoothing', 0.1, first.step]);
    const { settings } = (await readCheckpoint(at('changed', 'checkpoint.safetensors'))) ?? {};
    assert.equal((settings as unknown as { train: { epochs: number } }).train.epochs, 3);
    assert.notEqual(weights('changed'), whole);
  });
});

describe('a mode folder', () => {
  it('belongs to one process at a time', async () => {
    const child = start(...TRAINING, '--out', 'held', '--epochs', '1000', '--state-steps', '1');
    const ended = once(child, 'exit');
    while (!existsSync(at('held', 'state.safetensors')) && child.exitCode === null) await sleep(5);
    const other = new RegExp(`held/lock: another process works in this folder \\(process ${child.pid} on `);
    fails(1, other, ...TRAINING, '--out', 'held', '--epochs', '1000');
    child.kill('SIGKILL');
    await ended;
  });

  it('on a full disk keeps the state that is there', { timeout: 120_000 }, async (t) => {
    const disk = at('.', 'disk');
    const size = Math.round(1.5 * statSync(at('held', 'state.safetensors')).size);
    const mounted = spawnSync('bash', ['-c', `mkdir -p ${disk} && mount -t tmpfs -o size=${size} tmpfs ${disk}`]);
    if (mounted.status !== 0) return t.skip('file systems cannot be mounted here');
    try {
      // One state fits, a second one beside it does not.
      const args = [...TRAINING, '--out', 'disk', '--state-steps', '3'];
      fails(1, /disk\/state\.safetensors: cannot be written: No space left on device/, ...args);
      const { metadata } = await inspectCheckpoint(at('disk', 'state.safetensors'));
      assert.equal(metadata.steps, '3');
      assert.deepEqual(readdirSync(disk).sort(), [EVENTS_FILE, 'log.jsonl', 'state.safetensors']);
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  const tooLarge = freemem() > 120 * 2 ** 30 ? 'the batch may fit here' : false;
  it('stays empty where a batch is larger than the memory', { skip: tooLarge }, () => {
    const args = ['train', '--arch', 'R18', '--in', 'builtin:shapes', '--seed', '1', '--batch-size', '10000'];
    fails(
      1,
      /batchSize: a step of 10000 images takes more than \d+ GiB of memory, and \d+ GiB are free/,
      ...args,
      '--out',
      'large',
    );
  });
});
