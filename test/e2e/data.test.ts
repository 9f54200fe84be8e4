/** Suites and sets on the command line, on real images; each test is skipped where they are not at hand. */
import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import type { SetState } from '../../lib/data/inventory.js';
import type { ArchiveVerdict, SetVerdict } from '../../lib/data/verify.js';
import { testData } from '../helpers/data.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-e2e-data-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const data = testData() ?? '';
const skip = data === '' && 'the test data is not at hand';

// Kept indices of these tests alone; LibTorch is where it was found already.
const env = { ...process.env, XDG_CACHE_HOME: join(folder, 'cache'), MODE_ENSEMBLE_CACHE: '' };

function cli(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: folder, env, timeout: 240_000 });
}

/** A process group of its own, so that whatever it leaves behind can be found. */
function start(...args: string[]): { child: ChildProcess; ended: Promise<number | string>; stderr: () => string } {
  const child = spawn(process.execPath, [bin, ...args], {
    ...{ cwd: folder, env, detached: true },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<number | string>((done) => child.on('exit', (code, signal) => done(code ?? signal ?? '')));
  return { child, ended, stderr: () => stderr };
}

/** Sends the signal as soon as there is a finished file in the folder. */
async function signalOnceThere(path: string, child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const isThere = () => existsSync(path) && readdirSync(path).some((name) => /\.(index|safetensors)$/.test(name));
  while (!isThere()) {
    assert.equal(child.exitCode, null, 'it ended before it could be stopped');
    await new Promise((done) => setTimeout(done, 5));
  }
  child.kill(signal);
}

function leavesNothing({ pid }: ChildProcess): void {
  assert.throws(() => process.kill(-(pid as number), 0), { code: 'ESRCH' });
}

/** A suite's folder with these sets of the test data, and so many of the 4,000 images of Places. */
function suiteFolder(name: string, sets: readonly string[], places = 100): string {
  const root = join(folder, name);
  mkdirSync(join(root, 'places'), { recursive: true });
  for (const set of sets) symlinkSync(join(data, set), join(root, set));
  const images = readdirSync(join(data, 'places/all')).sort().slice(0, places);
  for (const image of images) cpSync(join(data, 'places/all', image), join(root, 'places', image));
  return root;
}

const EXPECTED: readonly [set: string, images: number, whole: number][] = [
  ['CIFAR-10 (train)', 7_728, 50_000],
  ['CIFAR-10 (test)', 932, 10_000],
  ['SVHN', 200, 26_032],
  ['LSUN', 100, 10_000],
  ['iSUN', 100, 8_925],
  ['Textures', 300, 5_640],
  ['Places365', 4_000, 10_000],
];

describe('data', { skip }, () => {
  it('ls tells how much of each set is there, and where to get the rest', () => {
    const result = cli('data', 'ls', '--suite', 'cifar10', '--data', data, '--json');
    assert.equal(result.status, 0, result.stderr);
    const { sets } = JSON.parse(result.stdout) as { sets: SetState[] };
    assert.deepEqual(
      sets.map(({ set, images, expected, state }) => [set, images, expected, state]),
      EXPECTED.map((row) => [...row, 'incomplete']),
    );
    const text = cli('data', 'ls', '--suite', 'cifar10', '--data', data).stdout;
    assert.match(text, /\n {2}SVHN +incomplete +200 +26,032 +svhn\n/);
    assert.match(text, /\n {2}SVHN, 26,032 images, belongs in svhn\n {4}http:.*test_32x32\.mat\n/);
  });

  it('verify reads all of it; a file with fewer images than the published one is incomplete, not bad', () => {
    const result = cli('data', 'verify', '--suite', 'cifar10', '--data', data, '--json');
    assert.equal(result.status, 0, result.stderr);
    const { sets, archives } = JSON.parse(result.stdout) as { sets: SetVerdict[]; archives: ArchiveVerdict[] };
    assert.deepEqual(
      sets.map(({ set, result, expected, isIncomplete }) => [set, result?.count, expected, isIncomplete]),
      EXPECTED.map((row) => [...row, true]),
    );
    assert.ok(sets.every(({ result }) => result?.badCount === 0));
    const textures = sets.find(({ set }) => set === 'Textures')?.result;
    assert.deepEqual([textures?.minWidth, textures?.maxWidth], [300, 640]);
    assert.deepEqual(
      archives.map(({ archive, state, isGood }) => [archive, state, isGood]),
      [['test_32x32.mat', 'shortened', true]],
    );
    const text = cli('data', 'verify', '--suite', 'cifar10', '--data', data).stdout;
    assert.match(text, /\n\nNothing is bad; incomplete: 7 of 7 sets\.\n$/);
  });

  it('verify names each damaged file, and exits 1', () => {
    const root = join(folder, 'damaged');
    for (const set of ['LSUN', 'svhn', 'dtd/images/banded'])
      cpSync(join(data, set), join(root, set), { recursive: true });
    const images = readdirSync(join(root, 'dtd/images/banded')).sort();
    const [cut, empty, text] = [1, 2, 3].map((i) => join(root, 'dtd/images/banded', images[i] as string)) as [
      string,
      string,
      string,
    ];
    truncateSync(cut, statSync(cut).size >> 1);
    truncateSync(empty, 0);
    writeFileSync(text, 'this is no image');
    truncateSync(join(root, 'svhn/test_32x32.mat'), 100_000);
    const result = cli('data', 'verify', '--suite', 'cifar10', '--data', root, '--json');
    assert.equal(result.status, 1, result.stderr);
    const { sets, missing } = JSON.parse(result.stdout) as { sets: SetVerdict[]; missing: string[] };
    const of = (name: string) => sets.find(({ set }) => set === name) as SetVerdict;
    assert.deepEqual(
      of('Textures').result?.bad.map(({ name }) => name),
      [cut, empty, text],
    );
    assert.equal(of('Textures').result?.count, 30);
    assert.deepEqual([of('LSUN').isGood, of('SVHN').isGood], [true, false]);
    assert.match(of('SVHN').fault ?? '', /test_32x32\.mat: byte 128: expected a variable of .* it is cut short\.$/);
    assert.deepEqual(missing, ['CIFAR-10 (train)', 'CIFAR-10 (test)', 'iSUN', 'Places365']);
    const shown = cli('data', 'verify', `folder:${root}/dtd/images`);
    assert.equal(shown.status, 1);
    for (const name of [cut, empty, text]) assert.equal(shown.stdout.split(name).length, 2, name);
    assert.match(shown.stdout, /\n\nBad: 1 of 1\.\n$/);
  });

  for (const [signal, ending] of [
    ['SIGINT', 130],
    ['SIGKILL', 'SIGKILL'],
  ] as const) {
    it(`verify stopped by ${signal} leaves no process behind`, async () => {
      const indices = join(folder, 'cache/mode-ensemble/indices');
      rmSync(indices, { recursive: true, force: true });
      // The index of 60,000 files is kept as soon as it is made; decoding them takes seconds.
      const run = start('data', 'verify', `folder:${data}/cifar10-jpg`, '--threads', '1');
      await signalOnceThere(indices, run.child, signal);
      assert.equal(await run.ended, ending, run.stderr());
      leavesNothing(run.child);
      if (signal === 'SIGINT') assert.match(run.stderr(), /\nmode-ensemble: stopped\n$/);
    });
  }
});

describe('eval-ood --suite', { skip }, () => {
  const checkpoint = (name: string) => join(data, 'checkpoints', `${name}-cifar10.th`);
  const evaluate = (root: string, name: string) =>
    ['eval-ood', '--suite', 'cifar10', '--data', root, '--checkpoint', checkpoint(name)].concat([
      '--detector',
      'msp,energy',
      '--features',
      `features-${name}`,
      '--threads',
      '2',
    ]);

  for (const { name, arch, sets, missing } of [
    {
      name: 'resnet20',
      arch: 'cifar-resnet20',
      sets: { SVHN: 200, LSUN: 100, iSUN: 100, Textures: 300, Places365: 100 },
      missing: [],
    },
    {
      name: 'resnet32',
      arch: 'cifar-resnet32',
      sets: { SVHN: 200, LSUN: 100, Places365: 100 },
      missing: ['iSUN', 'Textures'],
    },
  ]) {
    it(`gives rows of ${name} for every set that is there, and says what is missing or incomplete`, () => {
      const there = ['cifar-10-batches-bin', 'svhn', 'LSUN', 'iSUN', 'dtd'];
      const root = suiteFolder(name, missing.length > 0 ? there.slice(0, 3) : there);
      const result = cli(...evaluate(root, name), '--json', '--csv', `${name}.csv`);
      assert.equal(result.status, 0, result.stderr);
      const { accuracy, warnings, arch: found } = JSON.parse(result.stdout);
      assert.equal(found, arch);
      assert.equal(accuracy[0].n, 932);
      // Published: 91.78 % and 92.78 % on all 10,000; 3 standard errors of 932 images are 2.7 %.
      assert.ok(Math.abs(accuracy[0].top1 - (name === 'resnet20' ? 0.9178 : 0.9278)) < 0.027, accuracy[0].top1);
      const [, ...rows] = readFileSync(join(folder, `${name}.csv`), 'utf8')
        .trimEnd()
        .split('\n');
      const expected = ['msp', 'energy'].flatMap((detector) =>
        Object.entries(sets).map(([set, count]) =>
          ['CIFAR-10', set, arch, detector, 'mode', `${name}-cifar10`, 932, count].join(),
        ),
      );
      assert.deepEqual(rows.map((row) => row.split(',').slice(0, 8).join()).sort(), expected.sort());
      // Both networks are good at this: chance would be 0.5.
      for (const row of rows) assert.ok(Number(row.split(',')[8]) > 0.75, row);

      for (const set of missing) {
        const sentence = new RegExp(
          `^warning: ${set} is missing and left out: expected ${root}/.*, found nothing; get `,
        );
        assert.ok(
          result.stderr.split('\n').some((line) => sentence.test(line)),
          result.stderr,
        );
      }
      assert.match(result.stderr, /\nwarning: SVHN is incomplete: 200 of 26,032 images; results are for these\n/);
      assert.match(result.stderr, /\nwarning: CIFAR-10 \(test\) is incomplete: 932 of 10,000 images;/);
      // One sentence a set, and the results keep them.
      assert.equal(warnings.length, 1 + Object.keys(sets).length + missing.length);
    });
  }

  for (const [signal, ending] of [
    ['SIGKILL', 'SIGKILL'],
    ['SIGINT', 130],
  ] as const) {
    it(`stopped by ${signal} leaves no process behind${signal === 'SIGINT' ? ', and goes on from what is finished' : ''}`, async () => {
      const root = suiteFolder(`stopped-${signal}`, ['cifar-10-batches-bin', 'svhn', 'LSUN'], 1500);
      const features = join(folder, `stopped-features-${signal}`);
      const args = [...evaluate(root, 'resnet20'), '--features', features];
      const run = start(...args);
      await signalOnceThere(features, run.child, signal);
      assert.equal(await run.ended, ending, run.stderr());
      leavesNothing(run.child);
      if (signal === 'SIGKILL') return;
      assert.match(
        run.stderr(),
        /\nmode-ensemble: stopped; what was finished is kept in .*features-SIGINT; the same command goes on from there\n$/,
      );
      const kept = readdirSync(features).map((name) => [name, statSync(join(features, name)).mtimeMs] as const);
      assert.ok(kept.length > 0 && kept.length < 4);
      assert.ok(kept.every(([name]) => name.endsWith('.safetensors')));
      const again = cli(...args);
      assert.equal(again.status, 0, again.stderr);
      for (const [name, time] of kept) assert.equal(statSync(join(features, name)).mtimeMs, time, name);
      assert.equal(readdirSync(features).length, 4);
    });
  }
});
