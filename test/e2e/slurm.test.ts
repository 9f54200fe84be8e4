/** Runs and trainings as jobs of a real Slurm, which this test starts for itself. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StepRecord } from '../../lib/run/journal.js';
import { writeCifar } from '../helpers/cifar.js';
import { noSlurm, type Slurm, startSlurm } from '../helpers/slurm.js';

const bin = resolve('bin/mode-ensemble.js');
const skip = noSlurm();
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-slurm-'));
let slurm: Slurm;

/** More modes than an array may have elements. */
const SEEDS = [1, 2, 3, 4];
const MAX_ARRAY_SIZE = 3;

function experiment(run: string, { seeds = SEEDS, epochs = 1, extra = '' } = {}): string {
  const file = join(folder, `${run}.yaml`);
  writeFileSync(
    file,
    `run: ${run}
in: C=cifar10:cifar
out: ["Drawn=folder:${resolve('test/fixtures/images')}", "Small=npy:small.npy"]
arch: R18
width: 4
seeds: ${JSON.stringify(seeds)}
threads: 1
train: {epochs: ${epochs}, batchSize: 64, stateSteps: 2}
evaluate: {detectors: [msp, {knn: {k: 10}}], ensembles: {size: 2}}
cluster: {pollSeconds: 0.5, lateSeconds: 10}
${extra}`,
  );
  return file;
}

const cli = (...args: string[]) =>
  spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: folder, env: slurm.env, timeout: 300_000 });
const slurmSays = (program: string, ...args: string[]) =>
  spawnSync(program, args, { encoding: 'utf8', env: slurm.env }).stdout.trim();
const csv = (run: string) => readFileSync(join(folder, run, 'results.csv'), 'utf8');
const records = (run: string): StepRecord[] =>
  readFileSync(join(folder, run, 'steps.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

/** Each step with each key was done once at most. */
function onlyOnce(run: string): Set<string> {
  const done = records(run).filter(({ event }) => event === 'done');
  const names = done.map(({ step, key }) => `${step} ${key}`);
  assert.equal(new Set(names).size, names.length, names.sort().join('\n'));
  return new Set(done.map(({ step }) => step));
}

async function until(isThere: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (isThere()) return;
    await sleep(100);
  }
  assert.fail(`${what} was waited for a minute; the queue:\n${slurmSays('squeue', '--array')}`);
}

describe('slurm', { skip }, () => {
  before(async () => {
    writeCifar(join(folder, 'cifar'), 256, 64);
    const header = "{'descr': '|u1', 'fortran_order': False, 'shape': (20, 8, 8, 3), }";
    const head = `\x93NUMPY\x01\x00${String.fromCharCode(118, 0)}${header.padEnd(117)}\n`;
    const pixels = Buffer.from(Uint8Array.from({ length: 20 * 8 * 8 * 3 }, (_, i) => (i * 37) % 251));
    writeFileSync(join(folder, 'small.npy'), Buffer.concat([Buffer.from(head, 'latin1'), pixels]));
    slurm = await startSlurm({ maxArraySize: MAX_ARRAY_SIZE });
  });
  after(async () => {
    await slurm?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('gives the bytes of a local run, in arrays that are no larger than they may be', () => {
    const local = cli('run', experiment('local'), '--executor', 'local');
    assert.equal(local.status, 0, local.stderr);
    const there = cli('run', experiment('remote'), '--executor', 'slurm');
    assert.equal(there.status, 0, there.stderr);
    assert.equal(csv('remote'), csv('local'));
    assert.deepEqual([...onlyOnce('remote')].sort(), [...onlyOnce('local')].sort());
    const jobs = records('remote').filter(({ event, step }) => event === 'submitted' && step.startsWith('train '));
    assert.equal(new Set(jobs.map(({ job }) => job?.split('_')[0])).size, 2);
    // Again nothing is done, and nothing handed in.
    const lines = records('remote').length;
    assert.equal(cli('run', experiment('remote'), '--executor', 'slurm').status, 0);
    assert.equal(records('remote').length, lines);
  });

  it('goes on where the process that follows it is killed, and does no step twice', async () => {
    const args = ['run', experiment('left'), '--executor', 'slurm'];
    const child = spawn(process.execPath, [bin, ...args], { cwd: folder, env: slurm.env, stdio: 'ignore' });
    await until(
      () =>
        existsSync(join(folder, 'left/steps/slurm/outcomes')) &&
        /left|mode-ensemble/.test(slurmSays('squeue', '-h', '-o', '%j')),
      'a job',
    );
    child.kill('SIGKILL');
    await once(child, 'exit');
    const again = cli(...args);
    assert.equal(again.status, 0, again.stderr);
    assert.equal(csv('left'), csv('local'));
    onlyOnce('left');
  });

  it('tells of a job that is cancelled, does what does not need it, and goes on the next time', async () => {
    const file = experiment('cancelled', { seeds: [1, 2], epochs: 60 });
    const child = spawn(process.execPath, [bin, 'run', file, '--executor', 'slurm'], { cwd: folder, env: slurm.env });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const state = join(folder, 'cancelled/modes/cifar-resnet18-w4/seed-2/state.safetensors');
    await until(() => existsSync(state), 'a state of seed 2');
    const job = records('cancelled').find(({ event, step }) => event === 'submitted' && step.endsWith('w4 2'))?.job;
    slurmSays('scancel', job as string);
    const [code] = await once(child, 'close');
    assert.equal(code, 1, said);
    assert.match(said, /failed: train cifar-resnet18-w4 2: job \S+ was cancelled/);
    assert.match(said, /not begun, as they need what failed: .*extract cifar-resnet18-w4 2 Drawn/);
    const done = onlyOnce('cancelled');
    assert.ok(done.has('extract cifar-resnet18-w4 1 Drawn'), [...done].join());
    const again = cli('run', file, '--executor', 'slurm');
    assert.equal(again.status, 0, again.stderr);
    onlyOnce('cancelled');
    const local = cli('run', experiment('whole', { seeds: [1, 2], epochs: 60 }));
    assert.equal(local.status, 0, local.stderr);
    assert.equal(csv('cancelled'), csv('whole'));
  });

  it('goes on by itself with what was put back into the queue', async () => {
    const file = experiment('requeued', { seeds: [7, 8], epochs: 40 });
    const child = spawn(process.execPath, [bin, 'run', file, '--executor', 'slurm'], { cwd: folder, env: slurm.env });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const state = join(folder, 'requeued/modes/cifar-resnet18-w4/seed-7/state.safetensors');
    await until(() => existsSync(state), 'a state');
    const job = records('requeued').find(({ event }) => event === 'submitted')?.job as string;
    slurmSays('scontrol', 'requeue', job);
    await until(() => records('requeued').some(({ event }) => event === 'stopped'), 'the end of the first time');
    slurmSays('scontrol', 'update', `JobId=${job}`, 'StartTime=now');
    const [code] = await once(child, 'close');
    assert.equal(code, 0, said);
    onlyOnce('requeued');
    const begun = (seed: number) =>
      records('requeued').filter(({ event, step }) => event === 'begin' && step === `train cifar-resnet18-w4 ${seed}`);
    assert.equal(begun(7).length, 2);
    assert.equal(begun(8).length, 1);
  });

  it('ranks that srun has started train the bytes of those that --ranks starts', () => {
    const train = ['train', '--in', 'cifar10:cifar', '--seed', '5', '--threads', '1', '--arch', 'R18', '--width', '4'];
    const small = [...train, '--batch-size', '64', '--epochs', '2'];
    const ours = cli(...small, '--ranks', '2', '--out', 'ranks');
    assert.equal(ours.status, 0, ours.stderr);
    const command = ['-n', '2', process.execPath, bin, ...small, '--out', 'srun'];
    const theirs = spawnSync('srun', command, { encoding: 'utf8', cwd: folder, env: slurm.env, timeout: 120_000 });
    assert.equal(theirs.status, 0, theirs.stderr);
    const bytes = (name: string) => readFileSync(join(folder, name, 'checkpoint.safetensors'));
    assert.ok(bytes('srun').equals(bytes('ranks')));
  });

  it('a run whose trainings take two ranks goes through srun, to the bytes of a local one', () => {
    const settings = { seeds: [3, 4], extra: 'ranks: 2\n' };
    const local = cli('run', experiment('ranks-local', settings));
    assert.equal(local.status, 0, local.stderr);
    const there = cli('run', experiment('ranks-remote', settings), '--executor', 'slurm');
    assert.equal(there.status, 0, there.stderr);
    assert.equal(csv('ranks-remote'), csv('ranks-local'));
  });
});
