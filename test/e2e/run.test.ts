import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import { EVENTS_FILE } from '../../lib/modes/tensorboard.js';
import { writeCifar } from '../helpers/cifar.js';

const bin = resolve('bin/mode-ensemble.js');
const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-e2e-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function cli(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: folder, timeout: 240_000 });
}

/** One sentence on stderr that begins with the program's name, and this exit code. */
function fails(result: SpawnSyncReturns<string>, status: number, message: RegExp): void {
  assert.equal(result.status, status, result.stderr);
  const last = result.stderr.trimEnd().split('\n').at(-1) ?? '';
  assert.match(last, /^mode-ensemble: /);
  assert.match(last, message);
  assert.doesNotMatch(result.stderr, /\n\s+at /, 'a stack was printed');
}

interface Tiny {
  run?: string;
  seeds?: number[];
  epochs?: number;
  out?: string[];
  extra?: string;
}

/** An experiment on 256 synthetic images and the drawn images of the decoder's tests. */
function tiny(name: string, { run = 'run', seeds = [1, 2], epochs = 1, out, extra = '' }: Tiny = {}): string {
  if (!existsSync(join(folder, 'cifar'))) writeCifar(join(folder, 'cifar'), 256, 64);
  const images = resolve('test/fixtures/images');
  const file = join(folder, name);
  writeFileSync(
    file,
    `run: ${run}
in: C=cifar10:cifar
out: ${JSON.stringify(out ?? [`Drawn=folder:${images}`, 'builtin:textures'])}
arch: R18
width: 4
seeds: ${JSON.stringify(seeds)}
threads: 2
train: {epochs: ${epochs}, batchSize: 64}
evaluate: {detectors: [msp, energy, {knn: {k: 10}}]}
${extra}`,
  );
  return file;
}

/** Relative to the folder in which the commands run. */
const checkpointOf = (seed: number) => `run/modes/cifar-resnet18-w4/seed-${seed}/checkpoint.safetensors`;

const rowsOf = (run: string) =>
  readFileSync(join(folder, run, 'results.csv'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split(','));

describe('run', () => {
  it('trains, evaluates and writes every file; a second run makes nothing anew and gives the same bytes', () => {
    const file = tiny('tiny.yaml');
    const first = cli('run', file, '--json', '--scores', 'scores');
    assert.equal(first.status, 0, first.stderr);
    const [head, ...rows] = rowsOf('run');
    assert.equal(
      head?.join(),
      'in,out,arch,detector,kind,members,n_in,n_out,auroc,aupr_in,aupr_out,fpr95,detection_error',
    );
    // 2 OoD sets × 3 detectors × (2 modes + 1 ensemble)
    assert.equal(rows.length, 18);
    assert.deepEqual(new Set(rows.map((row) => row[5])), new Set(['1', '2', '1+2']));
    for (const row of rows) {
      assert.deepEqual(row.slice(0, 3), ['C', row[1], 'cifar-resnet18-w4']);
      assert.equal(row[6], '64');
      for (const value of row.slice(8)) assert.ok(Number(value) >= 0 && Number(value) <= 1, row.join());
    }
    for (const name of ['experiment.json', 'results.json', 'report.html', 'modes/cifar-resnet18-w4/seed-1/log.jsonl']) {
      assert.ok(readFileSync(join(folder, 'run', name)).length > 50, name);
    }
    const npy = readFileSync(join(folder, 'scores/knn/1+2/textures.npy'));
    assert.equal(npy.subarray(1, 6).toString(), 'NUMPY');
    assert.equal(npy.length, 128 + 4 * 2000);

    const before = readFileSync(join(folder, 'run', 'results.csv'), 'utf8');
    const second = JSON.parse(cli('run', file, '--json').stdout);
    assert.deepEqual(second.trained, []);
    assert.deepEqual(second.reused, [1, 2]);
    assert.deepEqual(second.features, { made: 0, reused: 8 });
    assert.equal(readFileSync(join(folder, 'run', 'results.csv'), 'utf8'), before);
  });

  it('stopped by Ctrl-C it keeps what is finished, and goes on from there', async () => {
    // Seed 1 alone first, so that it is finished; then 1 and 2 with epochs that would take for ever.
    const file = tiny('stop.yaml', { run: 'stop', seeds: [1] });
    assert.equal(cli('run', file, '--json').status, 0);
    const checkpoint = join(folder, 'stop/modes/cifar-resnet18-w4/seed-1/checkpoint.safetensors');
    const bytes = readFileSync(checkpoint);
    const child = spawn(process.execPath, [bin, 'run', tiny('stop2.yaml', { run: 'stop', seeds: [1, 2] })], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    // As soon as the second mode's log is there, its training has begun.
    const log = join(folder, 'stop/modes/cifar-resnet18-w4/seed-2/log.jsonl');
    const timer = setInterval(() => {
      if (existsSync(log)) {
        clearInterval(timer);
        child.kill('SIGINT');
      }
    }, 5);
    const status = await new Promise((done) => child.on('exit', done));
    clearInterval(timer);
    assert.equal(status, 130, stderr);
    assert.match(stderr, /mode-ensemble: stopped; what was finished is kept in stop/);
    assert.ok(readFileSync(checkpoint).equals(bytes));
    assert.deepEqual(
      readdirSync(join(folder, 'stop/modes/cifar-resnet18-w4/seed-2')).filter(
        (name) => ![EVENTS_FILE, 'log.jsonl', 'state.safetensors'].includes(name),
      ),
      [],
    );
    const again = JSON.parse(cli('run', join(folder, 'stop2.yaml'), '--json').stdout);
    assert.deepEqual([again.trained, again.reused], [[2], [1]]);
  });

  it('never writes over a mode that was trained with other settings', () => {
    const checkpoint = join(folder, 'run/modes/cifar-resnet18-w4/seed-1/checkpoint.safetensors');
    const bytes = readFileSync(checkpoint);
    fails(
      cli('run', tiny('tiny.yaml', { epochs: 3 })),
      2,
      /seed-1\/checkpoint\.safetensors: was trained with train\.epochs 1, but 3 is asked for/,
    );
    assert.ok(readFileSync(checkpoint).equals(bytes));
  });

  it('ends with one sentence on bad images, and passes over them when told to', () => {
    const bad = join(folder, 'bad');
    mkdirSync(bad);
    cpSync(resolve('test/fixtures/images/rgb.png'), join(bad, 'a.png'));
    cpSync(resolve('test/fixtures/images/gray.jpg'), join(bad, 'b.jpg'));
    writeFileSync(join(bad, 'notes.txt'), 'no image');
    const file = tiny('bad.yaml', { run: 'run', out: [`Bad=folder:${bad}`] });
    fails(cli('run', file), 1, /notes\.txt/);
    const result = cli('run', file, '--skip-bad-images', '--json');
    assert.equal(result.status, 0, result.stderr);
    assert.deepEqual(JSON.parse(result.stdout).skipped, { Bad: 1 });
    assert.equal(rowsOf('run').at(1)?.[7], '2');
  });

  it('ends with one sentence on what is wrong with data and settings', () => {
    const cut = join(folder, 'cut');
    writeCifar(cut, 4);
    writeFileSync(join(cut, 'data_batch_1.bin'), readFileSync(join(cut, 'data_batch_1.bin')).subarray(0, 5000));
    const labels = join(folder, 'labels');
    writeCifar(labels, 4);
    const records = readFileSync(join(labels, 'test_batch.bin'));
    records[3073] = 12;
    writeFileSync(join(labels, 'test_batch.bin'), records);
    mkdirSync(join(folder, 'empty'));
    const experiment = (inside: string, out = 'builtin:textures') => {
      const file = join(folder, 'wrong.yaml');
      writeFileSync(file, `run: wrong\nin: cifar10:${inside}\nout: ["${out}"]\narch: R18\nwidth: 4\nseeds: [1]\n`);
      return cli('run', file);
    };
    fails(experiment('cut'), 1, /data_batch_1\.bin: .*3,073 bytes, found 5,000 bytes/);
    fails(experiment('labels'), 1, /test_batch\.bin.*12/);
    fails(experiment('nowhere'), 1, /nowhere/);
    fails(experiment('cifar', 'folder:empty'), 1, /empty/);
    fails(cli('run', tiny('tiny.yaml'), '--seeds', '5,5'), 2, /seed 5 is given twice/);
    fails(cli('run', tiny('extra.yaml', { extra: 'epoch: 3\n' })), 2, /extra\.yaml.*epoch/);
    fails(cli('run', 'not-there.yaml'), 1, /not-there\.yaml/);
    fails(
      cli('eval-ood', '--in', 'cifar10:cifar', '--out', 'bulitin:textures', '--checkpoint', checkpointOf(1)),
      2,
      /bulitin.*builtin/,
    );
  });
});

describe('train, eval-clean and eval-ood', () => {
  const checkpoints = ['--checkpoint', checkpointOf(1), '--checkpoint', checkpointOf(2)];

  it('train makes the mode that run makes', () => {
    const result = cli(
      ...['train', '--arch', 'r18', '--width', '4', '--in', 'cifar10:cifar', '--seed', '1', '--run', 'single'],
      ...['--epochs', '1', '--batch-size', '64', '--threads', '2', '--json'],
    );
    assert.equal(result.status, 0, result.stderr);
    const made = readFileSync(join(folder, 'single/modes/cifar-resnet18-w4/seed-1/checkpoint.safetensors'));
    assert.ok(made.equals(readFileSync(join(folder, checkpointOf(1)))));
  });

  it('eval-clean gives each mode and the ensemble', () => {
    const result = cli('eval-clean', '--in', 'cifar10:cifar', ...checkpoints, '--json');
    assert.equal(result.status, 0, result.stderr);
    const text = result.stdout;
    const { modes, ensemble, top1 } = JSON.parse(text);
    const accuracy: { kind: string; members: string; n: number; top1: number }[] = [...modes, ensemble];
    assert.ok(Math.abs(top1.mean - (modes[0].top1 + modes[1].top1) / 2) < 1e-12);
    assert.deepEqual(
      accuracy.map(({ kind, members, n }) => [kind, members, n]),
      [
        ['mode', '1', 64],
        ['mode', '2', 64],
        ['ensemble', '1+2', 64],
      ],
      text,
    );
  });

  it('eval-clean takes ensembles and intervals, and the same seed gives the same bytes', () => {
    const clean = (...flags: string[]) => cli('eval-clean', '--in', 'cifar10:cifar', ...checkpoints, ...flags);
    const result = clean('--ensemble', '2,1', '--intervals', '200', '--interval-seed', '5', '--json');
    assert.equal(result.status, 0, result.stderr);
    const { modes, ensembles, intervals, top5 } = JSON.parse(result.stdout);
    assert.deepEqual(intervals, { resamples: 200, level: 0.95, seed: 5 });
    assert.deepEqual([ensembles.length, ensembles[0].members, top5.n], [1, '1+2', 2]);
    for (const row of [...modes, ...ensembles]) {
      assert.ok(row.top1_lo <= row.top1 && row.top1 <= row.top1_hi && row.top1_lo < row.top1_hi, result.stdout);
      assert.ok(row.top5_lo <= row.top5 && row.top5 <= row.top5_hi, result.stdout);
    }
    const { gain, lo, hi } = ensembles[0].over_mean.top1;
    assert.ok(Math.abs(gain - (ensembles[0].top1 - (modes[0].top1 + modes[1].top1) / 2)) < 1e-12);
    assert.ok(lo <= gain && gain <= hi);
    const again = clean('--ensemble-size', '2', '--intervals', '200', '--interval-seed', '5', '--json');
    assert.equal(again.stdout, result.stdout);
    const text = clean('--ensemble', '1,2', '--intervals').stdout;
    assert.match(text, /^cifar-resnet18-w4 on cifar, 64 images\n\nAccuracy % +top-1 +top-5\n/);
    assert.match(text, /\nmean ± std .*\nmin–max .*\nensemble of 2 .*\n\nGain, points +top-1 over mean +over best /);
    assert.match(text, /\nIn brackets: 95 % bootstrap intervals over images \(1000 resamples, seed 0\)\.\n$/);
    fails(clean('--ensemble-size', '3'), 2, /--ensemble-size: An ensemble of 3 cannot be made of 2 modes/);
    fails(clean('--ensemble', '1,3'), 2, /--ensemble: Ensemble 1\+3: there is no mode "3"/);
  });

  it('eval-ood measures in another convention and with intervals, the same bytes for the same seed', () => {
    const ood = (...flags: string[]) =>
      cli(
        ...['eval-ood', '--in', 'cifar10:cifar', '--out', 'builtin:textures', ...checkpoints],
        ...['--detector', 'msp,energy', '--threads', '2', '--ensemble-size', '2', ...flags],
      );
    const [plain, openood] = [
      ood('--json'),
      ood('--convention', 'openood', '--intervals', '100', '--json', '--csv', 'lo.csv'),
    ];
    assert.equal(openood.status, 0, openood.stderr);
    const [before, found] = [JSON.parse(plain.stdout), JSON.parse(openood.stdout)];
    assert.deepEqual([before.convention, found.convention], ['reference', 'openood']);
    assert.deepEqual([before.intervals, found.intervals], [undefined, { resamples: 100, level: 0.95, seed: 0 }]);
    for (const [index, row] of found.rows.entries()) {
      assert.equal(row.auroc, before.rows[index].auroc);
      assert.equal(row.detection_error, before.rows[index].detection_error);
      for (const name of ['auroc', 'aupr_in', 'aupr_out', 'fpr95', 'detection_error']) {
        assert.ok(row[`${name}_lo`] <= row[`${name}_hi`], name);
      }
      assert.ok(row.auroc_lo <= row.auroc && row.auroc <= row.auroc_hi);
    }
    const [head, ...lines] = readFileSync(join(folder, 'lo.csv'), 'utf8').trimEnd().split('\n');
    assert.match(head ?? '', /,fpr95,detection_error,auroc_lo,auroc_hi,.*,detection_error_lo,detection_error_hi$/);
    assert.deepEqual([lines.length, new Set(lines.map((line) => line.split(',').length))], [6, new Set([23])]);
    const csv = readFileSync(join(folder, 'lo.csv'));
    assert.equal(ood('--convention', 'openood', '--intervals', '100', '--csv', 'lo2.csv').status, 0);
    assert.ok(readFileSync(join(folder, 'lo2.csv')).equals(csv));
    const text = ood('--convention', 'knn', '--intervals', '50').stdout;
    assert.match(text, /\nIn brackets: 95 % .* \(50 resamples, seed 0\)\.\nIn cifar; convention "knn": .*\.\n$/);
    const tables = text.slice(0, text.indexOf('over mean, over best:'));
    for (const line of tables.split('\n')) assert.ok(line.length <= 100, line);
  });

  it('eval-ood gives the rows of run', () => {
    // The bad-image test has left its own results.csv; this brings the first one back.
    assert.equal(cli('run', tiny('tiny.yaml'), '--json').status, 0);
    const images = resolve('test/fixtures/images');
    const result = cli(
      ...['eval-ood', '--in', 'C=cifar10:cifar', '--out', `Drawn=folder:${images}`, '--out', 'builtin:textures'],
      ...[...checkpoints, '--detector', 'msp,energy,knn', '--k', '10', '--csv', 'ood.csv', '--threads', '2', '--json'],
    );
    assert.equal(result.status, 0, result.stderr);
    assert.equal(readFileSync(join(folder, 'ood.csv'), 'utf8'), readFileSync(join(folder, 'run/results.csv'), 'utf8'));
  });
});
