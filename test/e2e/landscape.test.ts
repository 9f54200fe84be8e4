/** The commands landscape and connect, and a run's landscape, on small networks. */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSafetensors, readFloat64 } from '../../lib/features/safetensors.js';
import { FeatureFile } from '../../lib/features/store.js';
import { writeCifar } from '../helpers/cifar.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-landscape-e2e-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const cli = (...args: (string | number)[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [bin, ...args.map(String)], { encoding: 'utf8', cwd: folder, timeout: 240_000 });

function succeeds(...args: (string | number)[]): SpawnSyncReturns<string> {
  const result = cli(...args);
  assert.equal(result.status, 0, result.stderr);
  return result;
}

function fails(status: number, message: RegExp, ...args: (string | number)[]): void {
  const { status: found, stderr } = cli(...args);
  assert.equal(found, status, stderr);
  assert.match(stderr.trimEnd().split('\n').at(-1) ?? '', message);
  assert.doesNotMatch(stderr, /\n\s+at /, 'a stack was printed');
}

const at = (...path: string[]) => join(folder, ...path);
const read = (...path: string[]) => readFileSync(at(...path));
const CHECKPOINT = (seed: number) => `run/modes/cifar-resnet18-w4/seed-${seed}/checkpoint.safetensors`;
const images = resolve('test/fixtures/images');

before(() => {
  writeCifar(at('cifar'), 512, 64);
  const experiment = [
    'run: run',
    'in: C=cifar10:cifar',
    `out: [${JSON.stringify(`Drawn=folder:${images}`)}, builtin:textures]`,
    'arch: R18',
    'width: 4',
    'seeds: [1, 2, 3]',
    // Networks this small gain nothing from more, and threads that wait for each other lose all on a busy machine.
    'threads: 1',
    'train: {epochs: 4, batchSize: 64, learningRate: 0.05}',
    'evaluate: {detectors: [msp]}',
    'landscape: {grid: 3, images: 16, out: [Drawn]}',
  ];
  writeFileSync(at('e.yaml'), `${experiment.join('\n')}\n`);
  succeeds('run', 'e.yaml');
});

describe('a run with a landscape', () => {
  it('has it, and leaves it alone when it is run again', () => {
    const index = JSON.parse(read('run', 'landscape', 'landscape.json').toString());
    assert.equal(index.version, 1);
    assert.deepEqual(Object.keys(index.figures[0]).sort(), ['caption', 'file', 'title']);
    assert.ok(existsSync(at('run', 'landscape', index.figures[0].file)));
    assert.deepEqual(
      index.made.landscape.about.sets.map(({ name }: { name: string }) => name),
      ['C', 'Drawn'],
    );
    const changed = statSync(at('run', 'landscape', 'landscape.svg')).mtimeMs;
    succeeds('run', 'e.yaml');
    assert.equal(statSync(at('run', 'landscape', 'landscape.svg')).mtimeMs, changed);
  });

  it('names the OoD sets that there are, where another one is asked for', () => {
    const text = read('e.yaml').toString();
    writeFileSync(at('wrong.yaml'), text.replace('out: [Drawn]', 'out: [Drwan]'));
    fails(2, /wrong\.yaml: landscape\.out: no OoD set is called Drwan; .*Drawn/, 'run', 'wrong.yaml');
    writeFileSync(at('wrong.yaml'), text.replace('grid: 3', 'grid: 1'));
    fails(2, /landscape\.grid: expected a whole number from 2 to 501, found 1/, 'run', 'wrong.yaml');
  });
});

describe('landscape', () => {
  it('has at the centre the loss of what evaluation stores (relative error below 1e-5)', async () => {
    succeeds(
      'landscape',
      '--run',
      'run',
      '--grid',
      3,
      '--images',
      'all',
      '--output',
      'centre',
      '--labels',
      'uniform',
      '--out',
      `folder:${images}`,
    );
    const file = await openSafetensors(at('centre', 'landscape.safetensors'));
    const losses = await readFloat64(file, 'loss');
    const accuracies = await readFloat64(file, 'accuracy');
    const about = JSON.parse(file.metadata.about ?? '');
    const { modes } = JSON.parse(
      succeeds(
        'eval-clean',
        '--in',
        'C=cifar10:cifar',
        '--features',
        'run/features',
        '--json',
        ...[1, 2, 3].flatMap((seed) => ['--checkpoint', CHECKPOINT(seed)]),
      ).stdout,
    );
    const stored = readdirSync(at('run', 'features')).filter((name) => name.endsWith('.safetensors'));
    let compared = 0;
    for (const name of stored) {
      const features = await FeatureFile.open(at('run', 'features', name));
      const labels = await features.labels();
      if (features.count !== 64) continue;
      const source = JSON.parse(features.metadata.source ?? '{}');
      const mode = about.modes.findIndex(({ sha256 }: { sha256: string }) => JSON.stringify(source).includes(sha256));
      assert.ok(mode >= 0);
      const logits = await features.logits();
      let sum = 0;
      for (let row = 0; row < 64; row++) {
        const own = Array.from(logits.subarray(row * 10, row * 10 + 10));
        const most = Math.max(...own);
        sum +=
          most +
          Math.log(own.reduce((all, one) => all + Math.exp(one - most), 0)) -
          (own[labels[row] as number] as number);
      }
      const found = losses[mode * 2 * 9 + 4] as number;
      assert.ok(Math.abs(found - sum / 64) <= 1e-5 * found, `${found} and ${sum / 64}`);
      assert.ok(Math.abs((accuracies[mode * 2 * 9 + 4] as number) - modes[mode].top1) < 1e-12);
      compared++;
    }
    assert.equal(compared, 3);
  });

  const GRID = [
    'landscape',
    '--run',
    'run',
    '--out',
    'builtin:textures',
    '--images',
    64,
    '--threads',
    2,
    '--seeds',
    '1,2',
  ];

  it('that is stopped by Ctrl-C ends with 130, keeps its points, and goes on to the same bytes', async () => {
    const args = [...GRID, '--grid', 11, '--images', 32];
    succeeds(...args, '--output', 'whole');
    const child = spawn(process.execPath, [bin, ...args.map(String), '--output', 'stopped', '--refresh'], {
      cwd: folder,
    });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const ended = once(child, 'exit');
    // The first picture is there when the first level is.
    while (!existsSync(at('stopped', 'landscape.svg')) && child.exitCode === null) await sleep(5);
    child.kill('SIGINT');
    const [status] = await ended;
    assert.equal(status, 130, stderr);
    assert.match(stderr, /stopped; what was finished is kept in stopped; the same command goes on from there/);
    const { points } = JSON.parse(succeeds(...args, '--output', 'stopped', '--json').stdout);
    assert.ok(points.reused >= 50 && points.made > 0, JSON.stringify(points));
    assert.equal(points.reused + points.made, 242);
    for (const ending of ['safetensors', 'csv', 'svg', 'json']) {
      assert.deepEqual(read('stopped', `landscape.${ending}`), read('whole', `landscape.${ending}`), ending);
    }
  });

  it('is the same with one thread, and another one with another seed', () => {
    const args = [...GRID, '--grid', 3];
    succeeds(...args, '--output', 'two');
    succeeds(...args, '--output', 'one', '--threads', 1);
    assert.deepEqual(read('one', 'landscape.csv'), read('two', 'landscape.csv'));
    const { points } = JSON.parse(succeeds(...args, '--output', 'one', '--seed', 1, '--json').stdout);
    assert.deepEqual(points, { made: 18, reused: 0 });
    assert.notDeepEqual(read('one', 'landscape.csv'), read('two', 'landscape.csv'));
  });

  it('shows profiles, and the plane through three modes with statistics of training data', async () => {
    succeeds(...GRID, '--grid', 5, '--profile', '--output', 'two');
    assert.deepEqual(
      JSON.parse(read('two', 'landscape.json').toString()).figures.map(({ file }: { file: string }) => file),
      ['landscape.svg', 'profile.svg'],
    );
    const plane = [
      'landscape',
      '--run',
      'run',
      '--plane',
      '--images',
      32,
      '--statistics-images',
      64,
      '--output',
      'plane',
    ];
    succeeds(...plane, '--grid', 3);
    const svg = read('plane', 'plane.svg').toString();
    for (const text of ['>1<', '>2<', '>3<', 'modes 1, 2, 3']) assert.ok(svg.includes(text), text);
    const losses = await readFloat64(await openSafetensors(at('plane', 'plane.safetensors')), 'loss');
    assert.equal(losses.length, 27);
    assert.ok(losses.every(Number.isFinite));
  });

  it('tells of losses that are no numbers, and leaves gaps', async () => {
    // A range at which float32 overflows.
    const args = [...GRID, '--grid', 3, '--range', 1e12, '--seeds', '1', '--output', 'gaps'];
    const { stdout } = succeeds(...args);
    assert.match(stdout, /losses are not finite: gaps in the figure/);
    const losses = await readFloat64(await openSafetensors(at('gaps', 'landscape.safetensors')), 'loss');
    assert.ok(losses.some(Number.isNaN) && Number.isFinite(losses[4]));
    assert.match(read('gaps', 'landscape.json').toString(), /not finite and shown as gaps/);
  });

  it('refuses what it cannot use, in one sentence', () => {
    fails(2, /--grid: expected a whole number from 2 to 501, found 1$/, ...GRID, '--grid', 1);
    fails(2, /--grid: .*found 5000$/, ...GRID, '--grid', 5000);
    fails(2, /--out: expected an OoD data set/, 'landscape', '--in', 'C=cifar10:cifar', '--checkpoint', CHECKPOINT(1));
    const wrong = [...GRID, '--out', `folder:${images}`, '--labels', 'own'];
    fails(2, /--labels: own needs an OoD set of as many classes as the modes tell apart, 10, found \d+/, ...wrong);
    fails(2, /--plane: expected three modes, found 2$/, ...GRID, '--plane', '--grid', 3);
    fails(
      2,
      /--run: expected a finished mode of seed 9 in .*, found 1, 2, 3$/,
      'landscape',
      '--run',
      'run',
      '--seeds',
      '9',
    );
    fails(
      2,
      /expected --run with it/,
      'landscape',
      '--seeds',
      '1',
      '--in',
      'C=cifar10:cifar',
      '--out',
      'builtin:blends',
    );
    fails(
      1,
      /images of all sets take .* of memory, and 1 MiB are allowed/,
      ...GRID,
      '--memory',
      1 / 1024,
      '--output',
      'x',
    );
  });
});

describe('connect', () => {
  const CONNECT = ['connect', '--run', 'run', '--points', 5, '--images', 32, '--statistics-images', 64, '--threads', 1];

  it('trains a curve, evaluates both paths, and finds all of it there the second time', async () => {
    const { stdout } = succeeds(...CONNECT, '--seeds', '1,2', '--epochs', 2, '--json');
    const first = JSON.parse(stdout);
    assert.ok(first.isNew);
    assert.equal(first.summary.length, 6);
    const [line, curve] = [first.summary[0], first.summary[3]];
    // Both paths end in the same two modes.
    for (const end of [0, 1]) assert.ok(Math.abs(line.ends[end] - curve.ends[end]) < 1e-9);
    assert.ok(curve.highest < line.highest, `${curve.highest} and ${line.highest}`);
    for (const file of first.files) assert.ok(existsSync(at(file)), file);
    const losses = await openSafetensors(at('run', 'connect', 'connect.safetensors'));
    assert.deepEqual(losses.tensors.get('loss')?.shape, [2, 3, 5]);
    const before = read('run', 'connect', 'connect.csv');
    const second = JSON.parse(succeeds(...CONNECT, '--seeds', '1,2', '--epochs', 2, '--json').stdout);
    assert.ok(!second.isNew);
    assert.deepEqual(second.points, { made: 0, reused: 10 });
    assert.deepEqual(read('run', 'connect', 'connect.csv'), before);
    // The bend is a mode that can be evaluated.
    const bend = ['--checkpoint', 'run/connect/bend.safetensors', '--features', 'bend-features'];
    succeeds('eval-clean', '--in', 'C=cifar10:cifar', ...bend);
  });

  it('that is stopped in its training ends with 130 and goes on to the same bend', async () => {
    const args = [...CONNECT, '--seeds', '1,2', '--epochs', 3, '--curve', 'chain'];
    succeeds(...args, '--output', 'chain');
    const stopping = [bin, ...args.map(String), '--state-steps', '3', '--output', 'chain-stopped'];
    const child = spawn(process.execPath, stopping, { cwd: folder });
    const ended = once(child, 'exit');
    const state = at('chain-stopped', 'state.safetensors');
    while (!existsSync(state) && child.exitCode === null) await sleep(2);
    child.kill('SIGINT');
    assert.equal((await ended)[0], 130);
    assert.ok(existsSync(state));
    succeeds(...args, '--output', 'chain-stopped');
    assert.ok(!existsSync(state));
    assert.deepEqual(read('chain-stopped', 'bend.safetensors'), read('chain', 'bend.safetensors'));
    assert.deepEqual(read('chain-stopped', 'connect.csv'), read('chain', 'connect.csv'));
  });

  it('refuses what it cannot use, in one sentence', () => {
    fails(2, /--checkpoint: expected two modes, found 1$/, ...CONNECT, '--seeds', '1');
    fails(2, /--checkpoint: expected two modes, found 3$/, ...CONNECT);
    const data = ['--in', 'C=cifar10:cifar', '--out', 'builtin:textures'];
    succeeds(
      'train',
      '--arch',
      'R18',
      '--width',
      8,
      '--in',
      'C=cifar10:cifar',
      '--seed',
      1,
      '--epochs',
      1,
      '--out',
      'wide',
    );
    const pair = ['--checkpoint', CHECKPOINT(1), '--checkpoint', 'wide/checkpoint.safetensors'];
    fails(1, /wide.*expected a cifar-resnet18-w4 as in .*, found a cifar-resnet18-w8/, 'connect', ...pair, ...data);
    fails(2, /--points: expected a whole number from 3 to 10001, found 2/, ...CONNECT, '--points', 2);
    mkdirSync(at('damaged'));
    copyFileSync(at(CHECKPOINT(1)), at('damaged', 'a.safetensors'));
    writeFileSync(at('damaged', 'b.safetensors'), read(CHECKPOINT(2)).subarray(0, 5000));
    const damaged = ['--checkpoint', 'damaged/a.safetensors', '--checkpoint', 'damaged/b.safetensors'];
    fails(1, /damaged\/b\.safetensors/, 'connect', ...damaged, ...data);
  });
});
