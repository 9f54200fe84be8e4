/** What the command train does besides training. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeCifar } from '../helpers/cifar.js';
import { hasMpi, MPI_ENV } from '../helpers/ranks.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-train-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function run(command: string, ...args: string[]) {
  return spawnSync(command, args, { encoding: 'utf8', cwd: folder, env: { ...MPI_ENV, TMPDIR: join(folder, 'tmp') } });
}
const train = (...args: string[]) => run(process.execPath, bin, 'train', '--arch', 'R18', '--width', '8', ...args);
const json = (...args: string[]) => {
  const { status, stdout, stderr } = train(...args, '--json');
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
};

before(() => {
  writeCifar(join(folder, 'cifar'), 256, 101);
  writeCifar(join(folder, 'tmp'), 1);
});

describe('train --evaluate', () => {
  const MODE = ['--in', 'cifar10:cifar', '--seed', '1', '--epochs', '1', '--batch-size', '64', '--out', 'mode'];
  let trained: { accuracy: number; top5: number; testLoss: number; sha256: string };
  before(() => {
    trained = json(...MODE);
  });

  it('validates a finished mode as its training did', () => {
    const { accuracy, top5, testLoss, sha256, isNew } = json(...MODE, '--evaluate');
    const { accuracy: first, top5: firstTop5, testLoss: firstLoss, sha256: bytes } = trained;
    assert.deepEqual(
      { accuracy, top5, sha256, isNew },
      { accuracy: first, top5: firstTop5, sha256: bytes, isNew: false },
    );
    assert.ok(Math.abs(testLoss - firstLoss) < 1e-6 * firstLoss, `${testLoss}, in training ${firstLoss}`);
  });

  it('does so with several ranks, each image once', { skip: hasMpi() ? false : 'there is no MPI here' }, () => {
    const command = [process.execPath, bin, 'train', '--arch', 'R18', '--width', '8', ...MODE, '--evaluate', '--json'];
    const { status, stdout, stderr } = run('mpirun', '-n', '2', ...command);
    assert.equal(status, 0, stderr);
    const { accuracy, top5, testLoss } = JSON.parse(stdout);
    assert.deepEqual([accuracy, top5], [trained.accuracy, trained.top5]);
    assert.ok(Math.abs(testLoss - trained.testLoss) < 1e-5 * trained.testLoss);
  });

  it('stopped by Ctrl-C ends at once, and leaves the mode as it is', async () => {
    writeCifar(join(folder, 'long'), 1, 60_000);
    const long = [...MODE, '--test', 'cifar10:long?split=test', '--evaluate'];
    const child = spawn(process.execPath, [bin, 'train', '--arch', 'R18', '--width', '8', ...long], { cwd: folder });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    // Six seconds of work, without a word in the first ones.
    await sleep(1500);
    assert.equal(child.exitCode, null, said);
    const began = performance.now();
    child.kill('SIGINT');
    const [code] = await once(child, 'close');
    assert.equal(code, 130, said);
    assert.ok(performance.now() - began < 20_000);
    assert.match(said, /mode-ensemble: stopped/);
    rmSync(join(folder, 'long'), { recursive: true });
    assert.equal(json(...MODE, '--evaluate').sha256, trained.sha256);
  });

  it('is refused where there is no mode', () => {
    const { status, stderr } = train(...MODE.slice(0, -1), 'nothing', '--evaluate');
    assert.equal(status, 2);
    const other = train(...MODE, '--evaluate', '--crop', '28', '--resize', '28');
    assert.match(
      other.stderr,
      /mode\/checkpoint\.safetensors: was trained with transform\.crop 32, but 28 is asked for now/,
    );
    assert.match(stderr, /nothing\/checkpoint\.safetensors: expected a finished mode to evaluate, found nothing/);
  });
});

describe('train --made-up-data', () => {
  const LEFT = ['data_batch_1.bin', 'test_batch.bin'];

  it('tells a speed, and leaves no file', () => {
    const { arch, batchSize, imagesPerSecond } = json('--made-up-data', '--batch-size', '4');
    assert.deepEqual([arch, batchSize], ['cifar-resnet18-w8', 4]);
    assert.ok(imagesPerSecond > 1);
    assert.match(
      train('--made-up-data', '--batch-size', '4').stdout,
      /^cifar-resnet18-w8, batch 4, float32: [\d.]+ images\/s\n$/,
    );
    assert.deepEqual(readdirSync(join(folder, 'tmp')).sort(), LEFT);
    assert.deepEqual(readdirSync(folder).sort(), ['cifar', 'mode', 'tmp']);
  });

  it('takes no flags that name files, and --seed is needed with data', () => {
    const refuses = (message: RegExp, ...args: string[]) => {
      const { status, stderr } = train(...args);
      assert.equal(status, 2);
      assert.match(stderr, message);
    };
    refuses(/--made-up-data: it reads and writes no files; leave out --in/, '--made-up-data', '--in', 'builtin:shapes');
    refuses(/leave out --out/, '--made-up-data', '--out', 'x');
    refuses(/leave out --evaluate/, '--made-up-data', '--evaluate');
    refuses(/required option '--seed <n>' not specified/, '--in', 'builtin:shapes');
    refuses(/made-up:32\/x\/1: expected SIDE\/CLASSES\/IMAGES/, '--in', 'made-up:32/x/1', '--seed', '1');
  });
});
