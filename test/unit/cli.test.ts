/** The command line as a person meets it: the program is spawned, and its words and exit codes are read. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { duration, Progress, type ProgressStream } from '../../lib/cli/progress.js';
import { override } from '../../lib/cli/run.js';
import { completeExperiment } from '../../lib/config/load.js';
import { getAddon } from '../../lib/native/load.js';

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
  refuses(['run', file, '--precision', 'float16'], '--precision: expected float32, tf32 or bfloat16, found "float16"');
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

test('usage errors of conventions, intervals and ensembles exit 2 with one sentence', () => {
  const evaluate = (...flags: string[]) => ['eval-ood', '--in', 'builtin:shapes', '--out', 'builtin:blends', ...flags];
  refuses(evaluate('--convention', 'openod'), '--convention: expected reference, knn or openood, found "openod"');
  refuses(evaluate('--intervals', '3'), '--intervals: expected a number of resamples from 10 to 100000, found 3');
  refuses(
    evaluate('--intervals', '--interval-level', '1'),
    '--interval-level: expected a number between 0 and 1, found 1',
  );
  refuses(evaluate('--interval-seed', '1'), '--interval-seed: expected --intervals with it, found none');
  refuses(evaluate('--interval-level', '0.9'), '--interval-level: expected --intervals with it, found none');
  refuses(evaluate('--ensemble-size', '1'), '--ensemble-size: expected a whole number of at least 2, or all, found 1');
  refuses(['run', file, '--convention', 'knm'], '--convention: expected reference, knn or openood, found "knm"');
  refuses(
    ['eval-clean', '--interval-seed', '-1'],
    '--interval-seed: expected a whole number from 0 to 4294967295, found -1',
  );
  // eval-clean measures no OoD set, so it has no convention.
  refuses(['eval-clean', '--convention', 'knn'], "unknown option '--convention'");
});

test('flags of run override the convention and intervals of the file, one by one', () => {
  const least = { in: 'builtin:shapes', out: ['builtin:blends'], arch: 'R18', seeds: [1] };
  const experiment = (evaluate: object) => completeExperiment({ ...least, evaluate }, 'x.yaml');
  const given = experiment({ convention: 'knn', intervals: { resamples: 50, level: 0.9, seed: 7 } });
  assert.deepEqual(override(given, {}).evaluate, given.evaluate);
  assert.deepEqual(override(given, { convention: 'openood', intervals: 500 }).evaluate, {
    ...given.evaluate,
    convention: 'openood',
    intervals: { resamples: 500, level: 0.9, seed: 7 },
  });
  assert.deepEqual(override(given, { intervalSeed: 8 }).evaluate.intervals, { resamples: 50, level: 0.9, seed: 8 });
  const none = experiment({});
  assert.equal(override(none, {}).evaluate.intervals, undefined);
  assert.deepEqual(override(none, { intervals: 500 }).evaluate.intervals, { resamples: 500, level: 0.95, seed: 0 });
  assert.throws(() => override(none, { intervalSeed: 8 }), {
    message: /^--interval-seed: expected --intervals with it/,
  });
});

test('usage errors of convert exit 2 with one sentence', () => {
  const input = join(folder, 'input.pth');
  writeFileSync(input, '');
  refuses(['convert'], "missing required argument 'input'");
  refuses(['convert', input], 'convert: expected an output, or --inspect, found neither');
  refuses(['convert', input, 'b.pth', '--inspect'], '--inspect: expected no output with it, found b.pth');
  refuses(['convert', input, 'b.pth', '--width', '16'], '--width: expected --arch with it, found none');
  refuses(['convert', input, 'b.pth', '--classes', '10'], '--classes: expected --arch with it, found none');
  refuses(
    ['convert', input, 'b.pth', '--arch', 'R18', '--classes', '0'],
    '--classes: expected a whole number from 1 to 1000000, found 0',
  );
  refuses(['convert', input, 'b.pth', '--arch', 'R81'], '--arch: unknown architecture "R81"; the nearest is "R18"');
  refuses(
    ['convert', input, 'b.onnx'],
    'b.onnx: expected a name that ends with .safetensors, .pth, .pt, .th, .tar, .bin, found ".onnx"',
  );
  refuses(['convert', input, input], `${input}: expected another file than the one that is read`);
  refuses(['convert', join(folder, 'none.pth'), 'input.pth'], 'input.pth: is there already; --force replaces it');
});

test('an input of convert that is missing or no checkpoint exits 1 with one sentence', () => {
  const missing = join(folder, 'none.pth');
  assert.deepEqual(cli('convert', missing, 'b.pth'), {
    status: 1,
    stdout: '',
    stderr: `mode-ensemble: ${missing}: cannot be read: No such file or directory.\n`,
  });
  assert.deepEqual(cli('convert', file, '--inspect'), {
    status: 1,
    stdout: '',
    stderr: `mode-ensemble: ${file}: byte 0: expected a torch or safetensors checkpoint, found a file that begins with "in: builtin:".\n`,
  });
});

test('convert --inspect tells format, weights and tensors, and convert what it wrote', () => {
  const input = join(process.cwd(), 'test/fixtures/checkpoints/zip-ema.pth');
  const { status, stdout } = cli('convert', input, '--inspect');
  assert.equal(status, 0);
  const lines = stdout.trimEnd().split('\n');
  assert.equal(lines[0], `${input}: torch zip, 2.3 kB`);
  assert.equal(lines[1], 'weights: 2 tensors in state_dict_ema; no listed architecture fits them');
  assert.ok(
    lines.some((line) => /^ {2}state_dict_ema\.w +float32 +\[1\]$/.test(line)),
    stdout,
  );
  assert.deepEqual(cli('convert', input, 'ema.safetensors').stdout, 'ema.safetensors: 2 tensors, 8 bytes\n');
  const json = JSON.parse(cli('convert', 'ema.safetensors', '--inspect', '--json').stdout);
  assert.deepEqual([json.file, json.format, json.metadata], ['ema.safetensors', 'safetensors', { format: 'pt' }]);
});

test('models lists each architecture in a line', () => {
  const { status, stdout, stderr } = cli('models');
  assert.deepEqual([status, stderr], [0, '']);
  const names = getAddon()
    .architectures()
    .map(({ name }) => name);
  const [head, ...lines] = stdout.trimEnd().split('\n');
  assert.equal(head?.split(/ {2,}/).join('|'), 'architecture|parameters|classes|input|channels of the stages|aliases');
  assert.deepEqual(
    lines.map((line) => line.split(' ')[0]),
    names,
  );
  const r50 = lines.find((line) => line.startsWith('resnet50 '));
  assert.equal(r50?.split(/ {2,}/).join('|'), 'resnet50|25.6 M|1000|224|64 256 512 1024 2048|R50');
});

test('models --json has exact numbers, of those that are named', () => {
  const rows: Record<string, unknown>[] = JSON.parse(cli('models', 'R50', 't2t-vit-14', '--json').stdout);
  assert.deepEqual(
    rows.map(({ name, parameters, tensors, width, classes }) => ({ name, parameters, tensors, width, classes })),
    [
      { name: 'resnet50', parameters: 25557032, tensors: 320, width: 64, classes: 1000 },
      { name: 't2t-vit-14', parameters: rows[1]?.parameters, tensors: 188, width: 384, classes: 1000 },
    ],
  );
  assert.equal((rows[1]?.transform as { filter: string }).filter, 'bicubic');
  const [narrow] = JSON.parse(cli('models', 'R18-w16', '--classes', '100', '--json').stdout);
  assert.deepEqual([narrow.name, narrow.classes, narrow.stages], ['cifar-resnet18-w16', 100, [16, 16, 32, 64, 128]]);
});

test('an architecture that models does not know exits 2', () => {
  refuses(['models', 'R81'], 'models: unknown architecture "R81"; the nearest is "R18"');
  refuses(['models', 'wrn-29-10'], 'models: wrn-29-10: expected a depth of 6n + 4');
});

test('preprocessing that cannot be exits 2 with one sentence', () => {
  const evaluate = (...flags: string[]) => ['eval-clean', '--in', 'builtin:shapes', ...flags];
  const none = '--checkpoint: expected at least one file, found nothing';
  const three = 'expected three numbers, one for each of red, green and blue';
  refuses(evaluate(), none);
  refuses(evaluate('--mean', '0.1,0.2'), `--mean: ${three}, found [0.1,0.2]`);
  refuses(evaluate('--mean', '0.1,x,0.3'), `--mean[1]: ${three}, found "x"`);
  refuses(evaluate('--mean', '0.1,0.2,1/0'), `--mean[2]: ${three}, found "1/0"`);
  refuses(
    evaluate('--std', '0,1,1'),
    '--std[0]: expected three numbers above 0, one for each of red, green and blue, found 0',
  );
  refuses(evaluate('--fit', 'long'), '--fit: expected both or short, found "long"');
  refuses(evaluate('--filter', 'nearest'), '--filter: expected bilinear or bicubic, found "nearest"');
  refuses(evaluate('--crop', '0'), '--crop: expected a whole number from 1 to 4096, found 0');
  // Fractions and blanks are taken: the first thing at fault is what is missing.
  refuses(evaluate('--mean', '125.3/255, 123.0/255,113.9/255', '--std', '63/255,62.1/255,66.7/255'), none);
});

test('preprocessing that does not go together exits 2 with one sentence', () => {
  const script = join(process.cwd(), 'test/fixtures/scripts/logits.pt');
  const evaluate = (...flags: string[]) => [
    'eval-clean',
    '--in',
    'builtin:shapes',
    '--arch',
    `script:${script}`,
    ...flags,
  ];
  refuses(
    evaluate('--preprocessing', 'R18', '--crop', '64'),
    '--crop: expected a crop of at most the resized 32 pixels, found 64',
  );
  const known = getAddon()
    .architectures()
    .flatMap(({ name, aliases }) => [name, ...aliases]);
  refuses(
    evaluate('--preprocessing', 'nope'),
    `--preprocessing: unknown architecture "nope"; known are ${known.join(', ')}`,
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

test('usage errors of suites exit 2 with one sentence', () => {
  const suite = (...flags: string[]) => ['eval-ood', '--checkpoint', 'a', ...flags];
  refuses(suite(), '--in: expected a data set, or --suite, found neither');
  refuses(suite('--in', 'builtin:shapes'), '--out: expected an OoD data set, or --suite, found neither');
  refuses(
    suite('--in', 'builtin:shapes', '--suite', 'builtin'),
    '--suite: expected either --suite or --in, found both',
  );
  refuses(suite('--suite', 'cifar'), '--suite: unknown suite "cifar"; the nearest is "cifar10"');
  refuses(suite('--data', 'x'), '--data: expected --suite with it, found none');
  refuses(suite('--suite', 'cifar10'), '--data: expected the folder that holds the data sets, found no folder data');
  refuses(
    ['train', '--arch', 'R18', '--seed', '1', '--suite', 'builtin', '--test', 'builtin:shapes'],
    '--suite: expected either --suite or --test, found both',
  );
  refuses(
    ['train', '--arch', 'R50', '--seed', '1', '--suite', 'builtin'],
    '--suite: expected a network for images of 32 pixels, as builtin has them, found resnet50, which reads 224 pixels; --crop asks for a size',
  );
});

test('data ls shows what is there, also as JSON, and a typo suggests the command', () => {
  refuses(['data', 'lss'], "unknown command 'lss' (Did you mean ls?)");
  refuses(['data', 'ls', '--suite', 'imagent'], '--suite: unknown suite "imagent"; the nearest is "imagenet"');
  refuses(['data', 'ls', '--dta', 'x'], "unknown option '--dta' (Did you mean --data?)");
  refuses(['data', 'verify', 'foldr:x'], 'data verify: unknown reader "foldr" in "foldr:x"; the nearest is "folder"');
  refuses(['data', 'verify', 'folder:x', '--data', 'y'], '--data: expected --suite with it, found none');
  const none = cli('data');
  assert.equal(none.status, 2);
  assert.match(none.stderr, /^Usage: mode-ensemble data [^]*ls \[options\][^]*verify \[options\]/);
  const { status, stdout, stderr } = cli('data', 'ls', '--suite', 'builtin');
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /\n {2}shapes \(train\) {2}complete {2}10,000 {2}10,000 {2}builtin:shapes\n/);
  const { folder: where, sets } = JSON.parse(cli('data', 'ls', '--suite', 'CIFAR-10', '--json').stdout);
  assert.deepEqual([where, sets.length], ['data', 7]);
  assert.deepEqual(
    [sets[2].set, sets[2].state, sets[2].images, sets[2].expected, sets[2].path, sets[2].archives[0].bytes],
    ['SVHN', 'missing', null, 26032, 'data/svhn', 64275384],
  );
});

for (const command of ['data', 'data ls', 'data verify']) {
  test(`the help of ${command} has examples and exits 0`, () => {
    const { status, stdout, stderr } = cli(...command.split(' '), '--help');
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, new RegExp(`\\nExamples:\\n[^]*\\$ mode-ensemble ${command}`));
  });
}

for (const command of ['doctor', 'models', 'run', 'train', 'sweep', 'eval-clean', 'eval-ood', 'convert']) {
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
    globalStep: 7,
    loss: 1.23456,
    trainTop1: 40,
    trainTop5: 80,
    learningRate: 0.1,
    accuracy: 45.678,
    top5: 90,
    testLoss: 1.3,
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
