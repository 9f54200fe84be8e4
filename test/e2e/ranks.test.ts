/** Several processes that train one network. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeCifar } from '../helpers/cifar.js';
import { hasMpi, MPI_ENV } from '../helpers/ranks.js';
import { floats, readTensors, type Tensor } from '../helpers/safetensors.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-ranks-'));
after(() => rmSync(folder, { recursive: true, force: true }));
before(() => writeCifar(join(folder, 'cifar'), 640, 101));

const COMMAND = [process.execPath, bin, 'train', '--in', 'cifar10:cifar', '--seed', '5', '--threads', '1'];
const SMALL = ['--arch', 'R18', '--width', '8', '--batch-size', '64', '--epochs', '2'];
/** It would take minutes if nothing stopped it. */
const LONG = ['--arch', 'R18', '--width', '8', '--batch-size', '64', '--epochs', '1000', '--state-steps', '5'];
const TWO = ['--ranks', '2'];
const MPIRUN = ['mpirun', '-n', '2'];
const skip = hasMpi() ? false : 'there is no MPI here';

function start([command = '', ...args]: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], env: { ...MPI_ENV, ...env } });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk;
    });
  }
  const ended = once(child, 'close').then(([code]) => ({ status: code as number | null, said }));
  return { child, ended, said: () => said };
}

async function succeeds(command: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { status, said } = await start(command, env).ended;
  assert.equal(status, 0, said);
  return said;
}

const checkpoint = (name: string) => readFileSync(join(folder, name, 'checkpoint.safetensors'));
const epochsOf = (name: string) =>
  readFileSync(join(folder, name, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'epoch');

/** Processes whose command line has the text, but not the shell's or a launcher's. */
function processesWith(text: string): number[] {
  const { stdout } = spawnSync('pgrep', ['-f', text], { encoding: 'utf8' });
  return stdout.split('\n').filter(Boolean).map(Number);
}

/** The ranks of a run, once all of them are there and have written a state. */
async function ranksOf(name: string, run: ReturnType<typeof start>): Promise<number[]> {
  while (!existsSync(join(folder, name, 'state.safetensors')) && run.child.exitCode === null) await sleep(20);
  const children = (of: number): number[] => {
    const { stdout } = spawnSync('pgrep', ['-P', String(of)], { encoding: 'utf8' });
    return stdout.split('\n').filter(Boolean).map(Number);
  };
  return children(run.child.pid as number).sort((a, b) => a - b);
}

async function isGone(name: string): Promise<boolean> {
  for (let i = 0; i < 100; i++) {
    if (processesWith(`out ${name}`).length === 0) return true;
    await sleep(50);
  }
  return false;
}

describe('two ranks with half of each batch', () => {
  // No batch norm: each rank's part is normalised as it is in the whole batch.
  const NO_BATCH_NORM = ['--arch', 't2t-vit-7', '--width', '64', '--batch-size', '4', '--epochs', '1', '--no-flip'];
  const twenty = [...NO_BATCH_NORM, '--in', 'cifar10:eighty', '--learning-rate', '0.001', '--crop-padding', '0'];
  before(async () => {
    writeCifar(join(folder, 'eighty'), 80, 8);
    await succeeds([...COMMAND, ...twenty, '--out', 'one']);
  });

  for (const [name, command, reason] of [
    ['tcp', [...COMMAND, ...twenty, ...TWO], false],
    ['mpi', [...MPIRUN, ...COMMAND, ...twenty], skip],
  ] as const) {
    it(`over ${name} take the steps of one with the whole (each weight within 1e-5 after 20)`, {
      skip: reason,
    }, async (t) => {
      await succeeds([...command, '--out', name]);
      const [one, two] = ['one', name].map((of) => readTensors(join(folder, of, 'checkpoint.safetensors')).tensors);
      assert.equal(epochsOf(name)[0].globalStep, 20);
      let worst = 0;
      for (const [tensor, value] of one as Map<string, Tensor>) {
        if (value.dtype !== 'F32') continue;
        const [a, b] = [floats(two?.get(tensor) as Tensor), floats(value)];
        for (const [i, expected] of b.entries()) {
          const difference = Math.abs((a[i] as number) - expected);
          worst = Math.max(worst, difference);
          assert.ok(difference <= 1e-5 * (1 + Math.abs(expected)), `${tensor}[${i}]: ${a[i]}, expected ${expected}`);
        }
      }
      t.diagnostic(`largest difference of a weight ${worst.toExponential(1)}`);
    });
  }
});

describe('ranks', () => {
  before(() => succeeds([...COMMAND, ...SMALL, ...TWO, '--out', 'tcp2']));

  it('of a ring, of an MPI and of torchrun train the same bytes', { skip }, async () => {
    await succeeds([...MPIRUN, ...COMMAND, ...SMALL, '--out', 'mpi2']);
    const shared = { WORLD_SIZE: '2', MASTER_ADDR: 'localhost', MASTER_PORT: '29473' };
    const torchrun = [...COMMAND, ...SMALL, '--out', 'torchrun2'];
    await Promise.all([succeeds(torchrun, { ...shared, RANK: '0' }), succeeds(torchrun, { ...shared, RANK: '1' })]);
    for (const name of ['mpi2', 'torchrun2']) assert.ok(checkpoint(name).equals(checkpoint('tcp2')), name);
  });

  it('test each image once, also where they do not divide', () => {
    // 101 images: a hundredth more or less shows in the accuracy.
    for (const { accuracy } of epochsOf('tcp2')) {
      const right = (accuracy * 101) / 100;
      assert.ok(Math.abs(right - Math.round(right)) < 1e-9, `${accuracy} %`);
    }
  });

  it('of a mode that is finished end at once', async () => {
    assert.match(await succeeds([...COMMAND, ...SMALL, ...TWO, '--out', 'tcp2']), /finished before/);
  });

  it('stop together, and go on to the same bytes', async () => {
    const args = [...COMMAND, ...SMALL, ...TWO, '--state-steps', '1', '--out', 'stopped'];
    const run = start(args);
    await ranksOf('stopped', run);
    run.child.kill('SIGTERM');
    const { status, said } = await run.ended;
    assert.equal(status, 143, said);
    assert.match(said, /mode-ensemble: stopped; what was finished is kept in stopped/);
    assert.ok(await isGone('stopped'));
    assert.match(await succeeds(args), /going on from step \d+/);
    assert.ok(checkpoint('stopped').equals(checkpoint('tcp2')));
  });

  for (const rank of [0, 1]) {
    it(`end with a message where rank ${rank} dies`, async () => {
      const name = `dead-${rank}`;
      const run = start([...COMMAND, ...LONG, ...TWO, '--out', name]);
      const pids = await ranksOf(name, run);
      const began = performance.now();
      process.kill(pids[rank] as number, 'SIGKILL');
      const { status, said } = await run.ended;
      assert.equal(status, 1, said);
      assert.match(said, new RegExp(`rank ${rank} was ended by SIGKILL|Rank ${rank} has ended before the others`));
      assert.ok(await isGone(name));
      assert.ok(performance.now() - began < 30_000);
    });
  }

  it('of an MPI end with a message where one dies', { skip }, async () => {
    const run = start([...MPIRUN, ...COMMAND, ...LONG, '--out', 'dead-mpi']);
    const pids = await ranksOf('dead-mpi', run);
    const began = performance.now();
    process.kill(pids.at(-1) as number, 'SIGKILL');
    const { status, said } = await run.ended;
    assert.notEqual(status, 0);
    assert.match(said, /exited on signal 9/);
    assert.ok(await isGone('dead-mpi'));
    assert.ok(performance.now() - began < 30_000);
  });

  it('end where the process that started them is killed', async () => {
    const run = start([...COMMAND, ...LONG, ...TWO, '--out', 'orphans']);
    await ranksOf('orphans', run);
    run.child.kill('SIGKILL');
    assert.ok(await isGone('orphans'));
    await run.ended;
  });
});

describe('ranks that cannot train together', () => {
  const fails = async (message: RegExp, command: readonly string[], env: Record<string, string> = {}) => {
    const { status, said } = await start(command, env).ended;
    assert.notEqual(status, 0);
    assert.match(said, message);
  };

  it('are refused', async () => {
    await fails(/--batch-size: expected a multiple of the 3 ranks, .*for instance 63, found 64/, [
      ...[...COMMAND, ...SMALL, '--ranks', '3', '--out', 'refused'],
    ]);
    const env = { RANK: '0', WORLD_SIZE: '2' };
    await fails(/MASTER_ADDR: expected the host of rank 0/, [...COMMAND, ...SMALL, '--out', 'refused'], env);
    await fails(
      /MASTER_PORT: expected a whole number of at least 1, found "high"/,
      [...COMMAND, ...SMALL, '--out', 'refused'],
      {
        ...{ ...env, MASTER_ADDR: 'localhost', MASTER_PORT: 'high' },
      },
    );
    await fails(/tcp2\/checkpoint.safetensors: was trained with ranks 2, but nothing is asked for/, [
      ...[...COMMAND, ...SMALL, '--out', 'tcp2'],
    ]);
    assert.ok(!existsSync(join(folder, 'refused', 'checkpoint.safetensors')));
  });

  it('are told where one was started with other settings', async () => {
    const shared = { WORLD_SIZE: '2', MASTER_ADDR: '127.0.0.1', MASTER_PORT: '29474' };
    const args = [...COMMAND, ...SMALL, '--out', 'other'];
    const first = start(args, { ...shared, RANK: '0' });
    await fails(
      /rank 1: expected train\.learningRate 0\.1 as rank 0 has it, found 0\.2/,
      [...args, '--learning-rate', '0.2'],
      {
        ...{ ...shared, RANK: '1' },
      },
    );
    const { status, said } = await first.ended;
    assert.equal(status, 1);
    assert.match(said, /Rank 1 has ended before the others/);
  });

  it('are told so, and end, where an MPI has started them', { skip }, async () => {
    const args = [...COMMAND, ...SMALL, '--out', 'other-mpi'];
    const began = performance.now();
    const command = ['mpirun', '-n', '1', ...args, ':', '-n', '1', ...args, '--learning-rate', '0.2'];
    await fails(/rank 1: expected train\.learningRate 0\.1 as rank 0 has it, found 0\.2/, command);
    assert.ok(performance.now() - began < 30_000);
    assert.ok(await isGone('other-mpi'));
  });
});
