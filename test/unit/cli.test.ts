/** The command line as a person meets it: the program is spawned, and its words and exit codes are read. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { duration, Progress, type ProgressStream } from '../../lib/cli/progress.js';

const BIN = fileURLToPath(new URL('../../../bin/mode-ensemble.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cli-'));
after(() => rmSync(folder, { recursive: true }));

function cli(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...args], { encoding: 'utf8', cwd: folder });
  return { status, stdout, stderr };
}

/** A usage error: exit code 2, one line on stderr, nothing on stdout. */
function refuses(args: string[], sentence: string): void {
  assert.deepEqual(cli(...args), { status: 2, stdout: '', stderr: `mode-ensemble: ${sentence}\n` });
}

const file = join(folder, 'x.yaml');
writeFileSync(file, 'in: builtin:shapes\nout: [builtin:blends]\narch: R18\nseeds: [1, 2]\ntrain: {epoch: 3}\n');

test('usage errors exit 2 with one sentence', () => {
  refuses(['rnu'], "unknown command 'rnu' (Did you mean run?)");
  refuses(['run'], "missing required argument 'experiment'");
  refuses(['run', file, '--epoch', '3'], "unknown option '--epoch' (Did you mean --epochs?)");
  refuses(['run', file, '--epochs', 'ten'], '--epochs: expected a whole number of at least 1, found "ten"');
  refuses(['run', file, '--seeds', '1,2,1'], '--seeds: seed 1 is given twice');
  refuses(['run', file, '--seeds', '1,x'], '--seeds[1]: expected a whole number from 0 to 4294967295, found "x"');
  refuses(['run', file, '--precision', 'float16'], '--precision: expected float32 or bfloat16, found "float16"');
  refuses(['train', '--arch', 'R18', '--in', 'builtin:shapes'], "required option '--seed <n>' not specified");
  refuses(
    ['train', '--arch', 'R18', '--in', 'builtin:shapes', '--seed', '-1'],
    '--seed: expected a whole number from 0 to 4294967295, found -1',
  );
  refuses(
    ['train', '--arch', 'R18', '--in', 'bultin:shapes', '--seed', '1'],
    '--in: unknown reader "bultin" in "bultin:shapes"; the nearest is "builtin"',
  );
  refuses(
    ['train', '--arch', 'R18', '--in', 'builtin:shapes?split=test', '--seed', '1'],
    '--in: expected training data, found ?split=test; name the test data with --test',
  );
  refuses(
    ['eval-ood', '--checkpoint', 'a', '--in', 'builtin:shapes', '--out', 'builtin:blends', '--detector', 'mps'],
    '--detector: Unknown detector "mps"; the nearest is "msp"',
  );
  refuses(
    [
      'eval-ood',
      '--checkpoint',
      'a',
      '--in',
      'builtin:shapes',
      '--out',
      'builtin:blends',
      '--detector',
      'msp',
      '--k',
      '3',
    ],
    '--k: expected the detector knn with it, found none',
  );
});

test('a fault in the experiment file exits 2 and names file and field', () => {
  refuses(['run', file], `${file}: train.epoch: unknown key; the nearest is "epochs"`);
});

test('a missing experiment file and a folder in its place exit 1 with one sentence', () => {
  const missing = join(folder, 'none.yaml');
  assert.deepEqual(cli('run', missing), {
    status: 1,
    stdout: '',
    stderr: `mode-ensemble: ${missing} cannot be read: there is no such file or folder (ENOENT).\n`,
  });
  assert.deepEqual(cli('run', folder), {
    status: 1,
    stdout: '',
    stderr: `mode-ensemble: ${folder} cannot be read: it is a folder (EISDIR).\n`,
  });
});

test('with --json an error is JSON on stdout too', () => {
  const { status, stdout } = cli('run', file, '--json');
  assert.equal(status, 2);
  assert.deepEqual(JSON.parse(stdout), {
    error: { code: 'E_CONFIG', message: `${file}: train.epoch: unknown key; the nearest is "epochs"` },
  });
});

test('no command shows the help on stderr and exits 2', () => {
  const { status, stdout, stderr } = cli();
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /^Usage: mode-ensemble/);
  assert.match(stderr, /mode-ensemble: a command is missing; mode-ensemble --help lists them\n$/);
});

for (const command of ['doctor', 'run', 'train', 'eval-clean', 'eval-ood']) {
  test(`the help of ${command} has examples and exits 0`, () => {
    const { status, stdout, stderr } = cli(command, '--help');
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, new RegExp(`\\nExamples:\\n[^]*\\$ mode-ensemble ${command}`));
  });
}

test('the version is the package’s', () => {
  const { status, stdout } = cli('--version');
  assert.deepEqual([status, /^\d+\.\d+\.\d+\n$/.test(stdout)], [0, true]);
});

/** A stream that keeps what is written, and a clock that is set by hand. */
function recorder() {
  const lines: string[] = [];
  const clock = { now: 0 };
  const stream = { isTTY: false, write: (text: string) => lines.push(text) } as unknown as ProgressStream;
  return { lines, clock, progress: new Progress(stream, () => clock.now) };
}

test('without a terminal, progress is a line every ten seconds and one at the end', () => {
  const { lines, clock, progress } = recorder();
  progress.onStage('extract textures');
  for (let second = 0; second <= 25; second++) {
    clock.now = second * 1000;
    progress.onProgress({ type: 'progress', phase: 'extract', done: second * 80, total: 2000, rate: 80 });
  }
  progress.onProgress({ type: 'progress', phase: 'extract', done: 2000, total: 2000, rate: 80 });
  assert.deepEqual(lines, [
    'extract textures: 800/2000, 80/s, 15 s left\n',
    'extract textures: 1600/2000, 80/s, 5.0 s left\n',
    'extract textures: 2000/2000, 80/s, done in 25 s\n',
  ]);
});

test('an epoch is one line, and what is quickly done leaves none', () => {
  const { lines, clock, progress } = recorder();
  progress.onStage('train seed 7');
  progress.onProgress({ type: 'progress', phase: 'train', done: 0, total: 10, rate: 0 });
  clock.now = 900;
  progress.onProgress({ type: 'progress', phase: 'train', done: 10, total: 10, rate: 11 });
  progress.onEpoch({
    type: 'epoch',
    epoch: 1,
    epochs: 3,
    loss: 1.23456,
    learningRate: 0.1,
    accuracy: 45.678,
    seconds: 40,
    imagesPerSecond: 249.6,
    dataWait: 0.01,
  });
  progress.onLog({ type: 'log', level: 'warning', message: 'all scores are tied' });
  assert.deepEqual(lines, [
    'train seed 7: epoch 1/3, loss 1.2346, test accuracy 45.68 %, 250 images/s, 40 s, 1 min 20 s left\n',
    'warning: all scores are tied\n',
  ]);
});

test('times are short', () => {
  const times = [0, 4.24, 9.96, 59.4, 59.6, 200, 3600, 7500];
  const texts = ['0.0 s', '4.2 s', '10 s', '59 s', '1 min 0 s', '3 min 20 s', '1 h 0 min', '2 h 5 min'];
  assert.deepEqual(times.map(duration), texts);
});
