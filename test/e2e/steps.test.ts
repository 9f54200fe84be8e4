/** A run in steps: killed, failing, over modes that others have trained, looked at before and checked afterwards. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StepRecord } from '../../lib/run/journal.js';
import { writeCifar } from '../helpers/cifar.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-steps-'));
after(() => rmSync(folder, { recursive: true, force: true }));
before(() => {
  // As a suite wants it: the paper's experiment file is used as it is.
  writeCifar(join(folder, 'data/cifar-10-batches-bin'), 256, 64);
  for (const name of ['LSUN', 'iSUN']) {
    mkdirSync(join(folder, 'data', name), { recursive: true });
    for (const image of ['rgb.png', 'gray.jpg'])
      cpSync(join('test/fixtures/images', image), join(folder, 'data', name, image));
  }
});

const cli = (...args: string[]) =>
  spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: folder, timeout: 300_000 });
const PAPER = resolve('experiments/paper-cifar10.yaml');
const CUT = [
  '--root',
  'data',
  '--width',
  '4',
  '--epochs',
  '2',
  '--batch-size',
  '64',
  '--seeds',
  '1000,1200,2000',
  '--threads',
  '2',
];
const paper = (run: string, ...more: string[]) => ['run', PAPER, ...CUT, '--run', run, ...more];
const records = (run: string): StepRecord[] =>
  readFileSync(join(folder, run, 'steps.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
const doneIn = (run: string) => records(run).filter(({ event }) => event === 'done');

function onlyOnce(run: string): void {
  const names = doneIn(run).map(({ step, key }) => `${step} ${key}`);
  assert.equal(new Set(names).size, names.length, names.sort().join('\n'));
}

describe("the paper's experiment", () => {
  it('on an empty machine says what is missing', () => {
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'run', PAPER, '--dry-run', '--no-measure'], {
      encoding: 'utf8',
      cwd: empty,
    });
    assert.equal(status, 0, stderr);
    for (const set of ['CIFAR-10 (train)', 'SVHN', 'LSUN', 'iSUN', 'Textures', 'Places365']) {
      assert.match(
        stdout,
        new RegExp(`^${set.replace(/[()]/g, '\\$&')} +missing +[\\d,]+ .*expected data/.*get .* at http`, 'm'),
      );
    }
    assert.match(stdout, /^train +wrn-28-10 +10 +0 +10 /m);
    assert.match(stdout, /Missing: 7 of 7 sets/);
    assert.deepEqual(readdirSync(empty), []);
  });

  it('killed twice goes on, does no step twice, and ends as one that was not', async () => {
    const whole = cli(...paper('whole', '--arch', 'R18'));
    assert.equal(whole.status, 0, whole.stderr);
    assert.match(whole.stderr, /SVHN is missing and left out/);
    for (const event of ['train cifar-resnet18-w4 1200', 'extract cifar-resnet18-w4 1000 iSUN']) {
      const child = spawn(process.execPath, [bin, ...paper('killed', '--arch', 'R18')], {
        cwd: folder,
        stdio: 'ignore',
      });
      const log = join(folder, 'killed/steps.jsonl');
      const isThere = () => existsSync(log) && readFileSync(log, 'utf8').includes(`"begin","step":"${event}"`);
      while (!isThere() && child.exitCode === null) await sleep(2);
      assert.equal(child.exitCode, null);
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const last = cli(...paper('killed', '--arch', 'R18', '--json'));
    assert.equal(last.status, 0, last.stderr);
    onlyOnce('killed');
    // What was whole when the process was killed, and not entered yet, is found.
    const ended = (run: string) => records(run).filter(({ event }) => event === 'done' || event === 'found');
    assert.deepEqual(
      new Set(ended('killed').map(({ step }) => step)),
      new Set(doneIn('whole').map(({ step }) => step)),
    );
    const csv = (run: string) => readFileSync(join(folder, run, 'results.csv'), 'utf8');
    assert.equal(csv('killed'), csv('whole'));
    // Modes, pairs and all three; five detectors; two sets.
    assert.equal(csv('whole').trimEnd().split('\n').length, 1 + (3 + 3 + 1) * 5 * 2);
  });

  it('has all of it there the next time, and says so before', () => {
    const { stdout } = cli(...paper('whole', '--arch', 'R18', '--dry-run'));
    assert.match(stdout, /Nothing is left to do/);
    const lines = records('whole').length;
    assert.equal(cli(...paper('whole', '--arch', 'R18')).status, 0);
    assert.equal(records('whole').length, lines);
  });

  it('over modes in the layout of the reference trains nothing', () => {
    for (const seed of [1000, 1200, 2000]) {
      const from = `whole/modes/cifar-resnet18-w4/seed-${seed}/checkpoint.safetensors`;
      const to = `save/CIFAR10/R18/seed-${seed}/epoch150.pth`;
      mkdirSync(dirname(join(folder, to)), { recursive: true });
      const result = cli('convert', from, to);
      assert.equal(result.status, 0, result.stderr);
    }
    const { status, stdout, stderr } = cli(...paper('given', '--arch', 'R18', '--json'));
    assert.equal(status, 0, stderr);
    assert.deepEqual([JSON.parse(stdout).trained, JSON.parse(stdout).reused], [[], [1000, 1200, 2000]]);
    assert.equal(existsSync(join(folder, 'given/modes')), false);
    assert.equal(records('given').filter(({ event, step }) => event !== 'found' && step.startsWith('train')).length, 0);
    const csv = (run: string) => readFileSync(join(folder, run, 'results.csv'), 'utf8');
    assert.equal(csv('given'), csv('whole'));
    rmSync(join(folder, 'save'), { recursive: true });
  });

  it('is checked by making cells again, and a changed cell is found', () => {
    const result = cli(...paper('whole', '--arch', 'R18', '--verify', '4', '--json'));
    assert.equal(result.status, 0, result.stderr);
    const { cells, of } = JSON.parse(result.stdout);
    assert.deepEqual([cells.length, of], [4, 70]);
    for (const { difference } of cells) assert.equal(difference, 0);
    const steps = join(folder, 'whole/steps');
    const name = readdirSync(steps).find((file) => /^evaluation-.*\.json$/.test(file)) as string;
    const text = readFileSync(join(steps, name), 'utf8');
    writeFileSync(join(steps, name), text.replaceAll(/"fpr95":[\d.e-]+/g, '"fpr95":0.123'));
    const wrong = cli(...paper('whole', '--arch', 'R18', '--verify', '2'));
    assert.equal(wrong.status, 1);
    assert.match(wrong.stdout, /NOT the same: fpr95 differs by/);
    writeFileSync(join(steps, name), text);
  });
});

describe('a run', () => {
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return name;
  };
  const small = (run: string, { epochs = 1, archs = 'R18', out = '"builtin:textures"', more = '' } = {}) =>
    file(
      `${run}.yaml`,
      `run: ${run}\nin: cifar10:data/cifar-10-batches-bin\nout: [${out}]\narch: ${archs}\nwidth: 4\nseeds: [1, 2]\nthreads: 2
train: {epochs: ${epochs}, batchSize: 64, stateSteps: 1}\nevaluate: {detectors: [msp]}\n${more}`,
    );

  it('is refused where another works in the folder', async () => {
    const child = spawn(process.execPath, [bin, 'run', small('two', { epochs: 1000 })], {
      cwd: folder,
      stdio: 'ignore',
    });
    while (!existsSync(join(folder, 'two/steps.jsonl'))) await sleep(20);
    const { status, stderr } = cli('run', 'two.yaml');
    assert.equal(status, 1);
    assert.match(stderr, /^mode-ensemble: two: another run works in this folder/m);
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  it('over modes of other settings says what would be stale, and with --update puts them aside', () => {
    assert.equal(cli('run', small('old')).status, 0);
    const changed = small('old', { epochs: 2 });
    const refused = cli('run', changed);
    assert.equal(refused.status, 2);
    assert.match(
      refused.stderr,
      /was trained with train\.epochs 1, but 2 is asked for now; .*8 steps would be stale \(train cifar-resnet18-w4 1, .*--update/,
    );
    assert.match(cli('run', changed, '--dry-run', '--no-measure').stdout, /Stale: 2 modes/);
    const updated = cli('run', changed, '--update');
    assert.equal(updated.status, 0, updated.stderr);
    const modes = readdirSync(join(folder, 'old/modes/cifar-resnet18-w4')).map((name) =>
      name.replace(/[0-9a-f]{8}$/, '#'),
    );
    assert.deepEqual(modes.sort(), ['seed-1', 'seed-1.was-#', 'seed-2', 'seed-2.was-#']);
    onlyOnce('old');
  });

  it('of two architectures has results of both, and goes on past a set that cannot be read', () => {
    mkdirSync(join(folder, 'bad'));
    cpSync('test/fixtures/images/rgb.png', join(folder, 'bad/a.png'));
    writeFileSync(join(folder, 'bad/b.png'), 'no image');
    const broken = small('both', { archs: '[R18, wrn-16-4]', out: '"Bad=folder:bad", "builtin:textures"' });
    const failed = cli('run', broken);
    assert.equal(failed.status, 1);
    assert.match(failed.stderr, /failed: extract cifar-resnet18-w4 1 Bad: .*b\.png/);
    assert.match(
      failed.stderr,
      /not begun, as they need what failed: evaluate cifar-resnet18-w4, evaluate wrn-16-4-w4, report/,
    );
    const before = doneIn('both').length;
    // 4 trainings, 4 of each of two sets.
    assert.equal(before, 12);
    cpSync('test/fixtures/images/gray.jpg', join(folder, 'bad/b.png'));
    const mended = cli('run', broken, '--json');
    assert.equal(mended.status, 0, mended.stderr);
    onlyOnce('both');
    const rows = readFileSync(join(folder, 'both/results.csv'), 'utf8').trimEnd().split('\n').slice(1);
    assert.deepEqual([...new Set(rows.map((row) => row.split(',')[2]))], ['cifar-resnet18-w4', 'wrn-16-4-w4']);
    assert.equal(rows.length, 2 * 2 * 3);
    for (const name of [
      'archs/cifar-resnet18-w4/report.html',
      'archs/wrn-16-4-w4/report.html',
      'results.json',
      'experiment.json',
    ]) {
      assert.ok(existsSync(join(folder, 'both', name)), name);
    }
  });
});
