/** The command bench: a table of this machine's speeds, from short measurements of a narrow network. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import type { SpeedReport } from '../../lib/bench/speed.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-e2e-bench-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function cli(...args: string[]) {
  const env = { ...process.env, TMPDIR: folder };
  return spawnSync(process.execPath, [bin, 'bench', ...args], { encoding: 'utf8', cwd: folder, env, timeout: 240_000 });
}

const QUICK = ['--arch', 'R18-w8', '--seconds', '0.2', '--batch-size', '32', '--threads', '1'];

describe('bench', () => {
  it('measures a network, and what each detector costs beyond its pass', () => {
    const result = cli(...QUICK, '--precision', 'float32', '--json');
    assert.equal(result.status, 0, result.stderr);
    const report = JSON.parse(result.stdout) as SpeedReport;
    assert.equal(report.threads, 1);
    const gflops = report.gemm.gflops.float32 as number;
    assert.ok(gflops > 0.5 && gflops < 1e5, `${gflops} GFLOP/s`);
    assert.equal(report.gemm.gflops.bfloat16, undefined);
    const [network, ...others] = report.networks;
    assert.ok(network && others.length === 0);
    const { arch, precision, size, classes, batchSize, multiplyAdds, speed, gemmShare, peak } = network;
    assert.deepEqual(
      { arch, precision, size, classes, batchSize },
      {
        arch: 'cifar-resnet18-w8',
        precision: 'float32',
        size: 32,
        classes: 10,
        batchSize: 32,
      },
    );
    assert.ok(speed.lowest > 0 && speed.lowest <= speed.median && speed.median <= speed.highest);
    assert.equal(speed.images % batchSize, 0);
    const share = (speed.median * 2 * multiplyAdds) / (gflops * 1e9);
    assert.ok(Math.abs(gemmShare / share - 1) < 1e-9);
    assert.ok(peak.bytes > 50e6 && peak.bytes <= report.peakBytes * 1.01);
    const names = ['msp', 'odin', 'energy', 'mahalanobis', 'gradnorm', 'rankfeat', 'knn'];
    assert.deepEqual(
      network.detectors.map(({ detector }) => detector),
      names,
    );
    const cost = Object.fromEntries(network.detectors.map((one) => [one.detector, one]));
    for (const { passSeconds, scoreSeconds, multiple, detector } of network.detectors) {
      const expected = (passSeconds + scoreSeconds) * speed.median;
      assert.ok(Math.abs(multiple - expected) <= 1e-9 * expected, detector);
    }
    // What reads stored features has no pass of its own; a step takes a backward and another forward pass.
    for (const name of ['msp', 'energy', 'gradnorm', 'knn']) assert.equal(cost[name]?.passSeconds, 0, name);
    for (const name of names) if (name !== 'mahalanobis') assert.ok((cost[name]?.scoreSeconds ?? 0) > 0, name);
    assert.ok((cost.odin?.multiple ?? 0) > 0.5, `odin: ${cost.odin?.multiple}`);
    assert.ok((cost.mahalanobis?.multiple ?? 0) > 0.5, `mahalanobis: ${cost.mahalanobis?.multiple}`);
    assert.ok((cost.msp?.multiple ?? 1) < (cost.odin?.multiple ?? 0));
  });

  it('prints tables, and leaves no file', () => {
    const result = cli(...QUICK, '--detectors', 'msp,knn:k=10');
    assert.equal(result.status, 0, result.stderr);
    const lines = result.stdout.split('\n');
    assert.match(result.stdout, /GEMM peak \(3072³\): float32 [\d.]+ GFLOP\/s, bfloat16 [\d.]+ GFLOP\/s/);
    const rows = lines.filter((line) => line.startsWith('cifar-resnet18-w8'));
    assert.equal(rows.length, 4, 'two tables of two precisions');
    assert.match(rows[0] ?? '', /float32 +32 +32 +[\d.]+ +0\.00\d+ +\d+ % +\d+$/);
    assert.match(result.stdout, /network +precision +msp +knn/);
    assert.match(result.stdout, /Peak memory of the whole process: \d+ MB/);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('measures a transformer, without detectors', () => {
    const result = cli(
      '--arch',
      't2t-vit-7',
      '--precision',
      'bfloat16',
      '--seconds',
      '0.1',
      '--batch-size',
      '2',
      '--detectors',
      'none',
      '--json',
    );
    assert.equal(result.status, 0, result.stderr);
    const [network] = (JSON.parse(result.stdout) as SpeedReport).networks;
    assert.deepEqual([network?.arch, network?.size, network?.detectors], ['t2t-vit-7', 224, []]);
  });

  const faults: [args: string[], sentence: RegExp][] = [
    [['--arch', 'R81'], /--arch: unknown architecture "R81"; /],
    [['--arch', ','], /--arch: expected at least one network, found nothing/],
    [['--precision', 'float16'], /--precision: unknown precision "float16"; /],
    [['--seconds', '0'], /--seconds: expected a number above 0, found 0/],
    [['--detectors', 'mps'], /--detectors: Unknown detector "mps"; the nearest is "msp"/],
    [['--detectors', 'knn:k=0'], /--detectors: Detector knn, k: expected/],
    [['--batch-size', '0'], /--batch-size: expected/],
  ];
  for (const [args, sentence] of faults) {
    it(`says what is wrong with ${args.join(' ')}`, () => {
      const result = cli(...args);
      assert.equal(result.status, 2, result.stderr);
      assert.match(result.stderr, sentence);
      assert.equal(result.stderr.trimEnd().split('\n').length, 1);
      assert.equal(result.stdout, '');
    });
  }
});
