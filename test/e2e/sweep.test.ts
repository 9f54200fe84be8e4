/** Many modes, trained by processes. */
import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SweepArch, SweepMode } from '../../lib/index.js';
import { getAddon } from '../../lib/native/load.js';
import { writeCifar } from '../helpers/cifar.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-sweep-'));
after(() => rmSync(folder, { recursive: true, force: true }));
before(() => writeCifar(join(folder, 'cifar'), 256, 64));

const TRAINING = ['--in', 'cifar10:cifar', '--batch-size', '64'];
const FOUR = ['sweep', '--arch', 'R18', '--arch', 'cifar-resnet20', '--width', '4', '--seeds', '1,2', ...TRAINING];
const TWO_THREADS = ['--parallel', '2', '--threads', '2'];
const ARCHS = ['cifar-resnet18-w4', 'cifar-resnet20-w4'] as const;

const cli = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: folder, timeout: 120_000 });
const at = (run: string, arch: string, seed: number, file = '') =>
  join(folder, run, 'modes', arch, `seed-${seed}`, file);
const bytes = (run: string, arch: string, seed: number) => readFileSync(at(run, arch, seed, 'checkpoint.safetensors'));

function resultOf({ stdout, stderr }: SpawnSyncReturns<string>): { modes: SweepMode[]; archs: SweepArch[] } {
  assert.ok(stdout.startsWith('{'), stderr);
  return JSON.parse(stdout);
}

/** Ends where no process has the text in its command line. */
async function isGone(text: string): Promise<boolean> {
  for (let i = 0; i < 100; i++) {
    if (spawnSync('pgrep', ['-f', text]).status === 1) return true;
    await sleep(50);
  }
  return false;
}

/** A sweep in a group of processes of its own, as a shell starts it on a terminal. */
function start(...args: string[]) {
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: folder,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  return { child, ended: once(child, 'close').then(([status]) => ({ status: status as number | null, said })) };
}

async function untilStates(child: ChildProcess, run: string): Promise<void> {
  const states = ARCHS.map((arch) => at(run, arch, 1, 'state.safetensors'));
  while (!states.every((state) => existsSync(state)) && child.exitCode === null) await sleep(5);
}

describe('sweep', () => {
  it('trains all modes, two at a time, to the bytes of train; a second time it does nothing', () => {
    const first = cli(...FOUR, ...TWO_THREADS, '--run', 'all', '--epochs', '2');
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stderr, /^cifar-resnet18-w4 seed 2: finished, test accuracy \d+\.\d\d %$/m);
    const [modes = '', means = '', sums = ''] = first.stdout.split('\n\n');
    assert.match(modes, /^architecture +seed +mode +accuracy % +top-5 % +training loss +time\n/);
    assert.equal(
      modes.match(/^cifar-resnet(18|20)-w4 +[12] +trained +\d+\.\d\d +\d+\.\d\d +\d\.\d{4} +\d.* s$/gm)?.length,
      4,
    );
    assert.equal(means.match(/^cifar-resnet(18|20)-w4 +2 +\d+\.\d\d ± \d+\.\d\d +\d+\.\d\d–\d+\.\d\d$/gm)?.length, 2);
    assert.match(sums, /^Trained 4, there before 0, failed 0\. Time: .*\. Modes: all\/modes\n$/);
    for (const arch of ARCHS) {
      for (const seed of [1, 2]) {
        const left = readdirSync(at('all', arch, seed)).filter((name) => /^state|lock/.test(name));
        assert.deepEqual(left, []);
      }
    }
    const alone = ['train', '--arch', 'r18', '--width', '4', '--seed', '2', ...TRAINING, '--epochs', '2'];
    assert.equal(cli(...alone, '--threads', '1', '--run', 'alone').status, 0);
    assert.ok(bytes('all', ARCHS[0], 2).equals(bytes('alone', ARCHS[0], 2)));

    const time = statSync(at('all', ARCHS[1], 2, 'checkpoint.safetensors')).mtimeMs;
    const second = cli(...FOUR, '--parallel', '3', '--threads', '1', '--run', 'all', '--epochs', '2', '--json');
    assert.equal(second.status, 0, second.stderr);
    const again = resultOf(second);
    assert.deepEqual(
      again.modes.map(({ arch, seed, state }) => [arch, seed, state]),
      ARCHS.flatMap((arch) => [1, 2].map((seed) => [arch, seed, 'skipped'])),
    );
    for (const [index, { arch, accuracy }] of again.archs.entries()) {
      const own = again.modes.slice(2 * index, 2 * index + 2).map((mode) => mode.accuracy as number);
      assert.deepEqual([arch, accuracy?.n, accuracy?.mean], [ARCHS[index], 2, ((own[0] ?? 0) + (own[1] ?? 0)) / 2]);
      assert.ok(modes.includes((own[0] as number).toFixed(2)));
    }
    assert.equal(statSync(at('all', ARCHS[1], 2, 'checkpoint.safetensors')).mtimeMs, time);
  });

  it('trains the others where modes fail, and says why they do', () => {
    const other = ['train', '--arch', 'R18-w4', '--seed', '1', ...TRAINING, '--epochs', '2', '--threads', '1'];
    assert.equal(cli(...other, '--run', 'failing').status, 0);
    mkdirSync(at('failing', ARCHS[1], 2), { recursive: true });
    const lock = getAddon().lockFile(at('failing', ARCHS[1], 2, 'lock'));
    const result = cli(...FOUR, ...TWO_THREADS, '--run', 'failing', '--epochs', '1', '--json');
    lock.release();
    assert.equal(result.status, 1, result.stderr);
    const { modes } = resultOf(result);
    assert.deepEqual(
      modes.map(({ state, error }) => [state, error?.code]),
      [
        ['failed', 'E_CONFIG'],
        ['finished', undefined],
        ['finished', undefined],
        ['failed', 'E_IO'],
      ],
    );
    const last = result.stderr.trimEnd().split('\n').slice(-3);
    assert.match(
      last[0] ?? '',
      /^mode-ensemble: cifar-resnet18-w4 seed 1: .* was trained with train\.epochs 2, but 1 is/,
    );
    assert.match(
      last[1] ?? '',
      /^mode-ensemble: cifar-resnet20-w4 seed 2: .*\/lock: another process works in this folder/,
    );
    assert.equal(last[2], 'mode-ensemble: 2 of 4 modes failed; the same command tries them again');
  });

  it('stopped by Ctrl-C, each training keeps where it is, and all go on to the same bytes', async () => {
    const args = ['sweep', '--arch', ARCHS.join(), '--seeds', '1', ...TRAINING, ...TWO_THREADS, '--epochs', '12'];
    const { child, ended } = start(...args, '--run', 'stopped', '--state-steps', '1');
    await untilStates(child, 'stopped');
    // A terminal sends it to the whole group.
    process.kill(-(child.pid as number), 'SIGINT');
    const { status, said } = await ended;
    assert.equal(status, 130, said);
    assert.match(said, /^stopping; once more to stop at once$/m);
    assert.match(
      said,
      /mode-ensemble: stopped; what was finished is kept in stopped; the same command goes on from there\n$/,
    );
    for (const arch of ARCHS) assert.ok(existsSync(at('stopped', arch, 1, 'state.safetensors')), arch);
    const result = cli(...args, '--run', 'stopped', '--json');
    assert.equal(result.status, 0, result.stderr);
    assert.match(result.stderr, /^cifar-resnet18-w4 seed 1: training goes on where it was stopped$/m);
    for (const { resumedAt = 0, state } of resultOf(result).modes) {
      assert.equal(state, 'finished');
      assert.ok(resumedAt > 0);
    }
    const whole = ['train', '--arch', ARCHS[0], '--seed', '1', ...TRAINING, '--threads', '1', '--epochs', '12'];
    assert.equal(cli(...whole, '--run', 'whole').status, 0);
    assert.ok(bytes('stopped', ARCHS[0], 1).equals(bytes('whole', ARCHS[0], 1)));
  });

  it('ends its trainings where it is killed, told twice, or stopped by SIGTERM', async () => {
    for (const [run, signals, code] of [
      ['killed', ['SIGKILL'], null],
      ['twice', ['SIGINT', 'SIGINT'], 130],
      ['term', ['SIGTERM'], 143],
    ] as const) {
      const args = ['sweep', '--arch', ARCHS.join(), '--seeds', '1', ...TRAINING, ...TWO_THREADS, '--epochs', '100000'];
      const { child, ended } = start(...args, '--run', run, '--state-steps', '1');
      await untilStates(child, run);
      for (const signal of signals) {
        process.kill(child.pid as number, signal);
        await sleep(1);
      }
      assert.equal((await ended).status, code, run);
      assert.ok(await isGone(`--run=${run}`), run);
    }
  });

  it('gives each training its ranks', () => {
    const args = [
      'sweep',
      '--arch',
      ARCHS[1],
      '--seeds',
      '7',
      ...TRAINING,
      '--ranks',
      '2',
      '--threads',
      '2',
      '--epochs',
      '1',
      '--json',
    ];
    const result = cli(...args, '--run', 'ranks');
    assert.equal(result.status, 0, result.stderr);
    assert.equal(resultOf(result).modes[0]?.state, 'finished');
    assert.equal(resultOf(cli(...args, '--run', 'ranks')).modes[0]?.state, 'skipped');
  });

  it('refuses what it cannot do in one sentence', () => {
    const refuses = (status: number, sentence: string, ...args: string[]) => {
      const result = cli('sweep', '--run', 'none', ...args);
      assert.deepEqual([result.status, result.stdout], [status, '']);
      assert.equal(result.stderr, `mode-ensemble: ${sentence}\n`);
    };
    const usual = ['--seeds', '1,2', '--in', 'cifar10:cifar'];
    const twice =
      '--arch: expected each architecture once, found "R18" and "cifar-resnet18", which are both cifar-resnet18';
    refuses(2, twice, ...usual, '--arch', 'R18,cifar-resnet18');
    refuses(2, '--arch: unknown architecture "R81"; the nearest is "R18"', ...usual, '--arch', 'R18,R81');
    refuses(2, '--seeds: seed 1 is given twice', '--arch', 'R18', '--in', 'cifar10:cifar', '--seeds', '1,1');
    refuses(2, "unknown option '--epoch' (Did you mean --epochs?)", ...usual, '--arch', 'R18', '--epoch', '3');
    refuses(2, "required option '--seeds <list>' not specified", '--arch', 'R18', '--seed', '3');
    refuses(
      2,
      '--parallel: expected a whole number of at least 1, found 0',
      ...usual,
      '--arch',
      'R18',
      '--parallel',
      '0',
    );
    assert.equal(existsSync(join(folder, 'none')), false);
    const nowhere = cli('sweep', '--run', 'none', '--arch', 'R18', '--seeds', '1,2', '--in', 'cifar10:nowhere');
    assert.equal(nowhere.status, 1);
    assert.match(nowhere.stderr, /^mode-ensemble: .*nowhere.*\n$/);
  });
});
