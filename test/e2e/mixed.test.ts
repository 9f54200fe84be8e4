/** Published networks of two architectures in one evaluation, on real images; skipped where they are not at hand. */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { testData } from '../helpers/data.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-e2e-mixed-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const data = testData() ?? '';
const skip = data === '' && 'the test data is not at hand';

const [RESNET, DENSENET] = ['resnet20-cifar10', 'densenet100-cifar10'];
const BOTH = `${RESNET}+${DENSENET}`;
/** A record of the binary version of CIFAR-10: a label and 32 × 32 × 3 pixels. */
const RECORD = 1 + 32 * 32 * 3;

function cli(...args: string[]): SpawnSyncReturns<string> {
  const env = { ...process.env, XDG_CACHE_HOME: join(folder, 'cache'), MODE_ENSEMBLE_CACHE: '' };
  return spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: folder, env, timeout: 240_000 });
}

const sets = ['--in', 'cifar10:small', '--out', 'LSUN=folder:lsun', '--threads', '2', '--features', 'features'];
const networks = [
  ...['--checkpoint', join(data, 'checkpoints', `${RESNET}.th`)],
  ...['--checkpoint', join(data, 'checkpoints', `${DENSENET}.pth.tar`)],
];

/** float32 scores of a file that --scores wrote. */
function scores(detector: string, members: string, set: string): number[] {
  const bytes = readFileSync(join(folder, 'scores', detector, members, `${set}.npy`));
  const begin = 10 + bytes.readUInt16LE(8);
  return Array.from({ length: (bytes.length - begin) / 4 }, (_, i) => bytes.readFloatLE(begin + 4 * i));
}

describe('networks of two architectures', { skip }, () => {
  before(() => {
    mkdirSync(join(folder, 'small'));
    for (const [file, count] of [
      ['data_batch_1.bin', 60],
      ['test_batch.bin', 50],
    ] as const) {
      const whole = readFileSync(join(data, 'cifar-10-batches-bin', file));
      writeFileSync(join(folder, 'small', file), whole.subarray(0, count * RECORD));
    }
    mkdirSync(join(folder, 'lsun'));
    const images = readdirSync(join(data, 'LSUN/all')).sort().slice(0, 30);
    for (const image of images) cpSync(join(data, 'LSUN/all', image), join(folder, 'lsun', image));
  });

  it('are identified, see their own preprocessing, and meet in logits and in scores', () => {
    const detectors = 'msp,energy,gradnorm,knn:k=5,knn:k=20';
    const args = ['eval-ood', ...sets, ...networks, '--detector', detectors, '--fusion', 'scores'];
    const result = cli(...args, '--scores', 'scores', '--csv', 'ood.csv', '--json');
    assert.equal(result.status, 0, result.stderr);
    const { arch, accuracy, fusion, detectors: used } = JSON.parse(result.stdout);
    assert.deepEqual([arch, fusion], ['cifar-resnet20+cifar-densenet-bc-100', 'scores']);
    assert.deepEqual(used.at(-1), { name: 'knn', label: 'knn:k=20', parameters: { k: 20 } });
    assert.deepEqual(
      accuracy.map(({ members }: { members: string }) => members),
      [RESNET, DENSENET, BOTH],
    );
    // Published: 91.78 % and about 95 %; three standard errors of 50 images are 12 %.
    for (const { members, top1 } of accuracy) assert.ok(top1 >= 0.8, `${members}: ${top1}`);
    const [, ...rows] = readFileSync(join(folder, 'ood.csv'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((row) => row.split(','));
    const archs: Record<string, string> = { [RESNET]: 'cifar-resnet20', [DENSENET]: 'cifar-densenet-bc-100' };
    for (const [, out, own, , kind, members = '', inCount, outCount] of rows) {
      assert.deepEqual([out, inCount, outCount], ['LSUN', '50', '30']);
      assert.equal(own, archs[members] ?? arch);
      assert.equal(kind, members === BOTH ? 'ensemble' : 'mode');
    }
    assert.deepEqual(
      rows.map((row) => row[3]),
      detectors.split(',').flatMap((name) => Array(3).fill(name)),
    );
    for (const detector of ['msp', 'knn,k=5', 'knn,k=20']) {
      const [a, b, both] = [RESNET, DENSENET, BOTH].map((members) => scores(detector, members as string, 'LSUN'));
      assert.equal(both?.length, 30);
      both?.forEach((score, i) => {
        const mean = ((a?.[i] as number) + (b?.[i] as number)) / 2;
        assert.ok(Math.abs(score - mean) <= 1e-6 * Math.abs(mean), `${detector} ${i}: ${score}, expected ${mean}`);
      });
    }
  });

  it('are fused from what is there, by the other rules too', () => {
    const times = () =>
      readdirSync(join(folder, 'features')).map((name) => statSync(join(folder, 'features', name)).mtimeMs);
    const made = times();
    // Two sets of two networks, and their training data.
    assert.equal(made.length, 6);
    const result = cli('eval-ood', ...sets, ...networks, '--detector', 'msp,gradnorm', '--fusion', 'softmax');
    assert.equal(result.status, 0, result.stderr);
    assert.match(result.stdout, /\nGradNorm, AUROC % .*ensemble of 2\n/);
    assert.match(result.stdout, / Ensembles: mean of softmax instead of the mean of logits \(fusion "softmax"\)\.\n$/);
    assert.deepEqual(times(), made);
    // Alone, each of them is given the same pixels: what it makes of them is there already.
    for (const name of [`${RESNET}.th`, `${DENSENET}.pth.tar`]) {
      const alone = ['--checkpoint', join(data, 'checkpoints', name), '--detector', 'msp,knn:k=5'];
      const { status, stderr } = cli('eval-ood', ...sets, ...alone);
      assert.equal(status, 0, stderr);
    }
    assert.deepEqual(times(), made);
    const clean = cli('eval-clean', ...sets.filter((_, i) => i !== 2 && i !== 3), ...networks);
    assert.equal(clean.status, 0, clean.stderr);
    assert.match(clean.stdout, /cifar-resnet20\+cifar-densenet-bc-100 on small, 50 images\n/);
    assert.deepEqual(times(), made);
  });

  it('have no features in common', () => {
    const result = cli('eval-ood', ...sets, ...networks, '--detector', 'msp,knn:k=5');
    assert.equal(result.status, 2);
    assert.match(
      result.stderr,
      /mode-ensemble: --detector: knn averages features, which modes of different architectures \(cifar-resnet20, cifar-densenet-bc-100\) do not have in common: for ensemble resnet20-cifar10\+densenet100-cifar10 take detectors on logits, or the fusion "scores"\n$/,
    );
    const own = cli('eval-ood', ...sets, ...networks, '--arch', 'cifar-resnet20', '--detector', 'msp');
    assert.equal(own.status, 1);
    assert.match(
      own.stderr,
      /densenet100-cifar10\.pth\.tar: does not fit the network: .* it fits cifar-densenet-bc-100 /,
    );
  });
});
