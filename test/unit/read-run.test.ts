import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { hasCode } from '../../lib/config/errors.js';
import { readFigures } from '../../lib/run/read-figures.js';
import { readResults } from '../../lib/run/read-results.js';
import { readRun } from '../../lib/run/read-run.js';
import { resultsJson } from '../../lib/run/results.js';
import { reportRun } from '../../lib/run/run-report.js';
import type { Evaluation } from '../../lib/run/types.js';
import { writeMadeUpRun } from '../helpers/made-up-run.js';

const root = mkdtempSync(join(tmpdir(), 'read-run-'));
after(() => rmSync(root, { recursive: true, force: true }));

const whole = join(root, 'whole');
let evaluation: Evaluation;
let copies = 0;
before(async () => {
  evaluation = await writeMadeUpRun(whole, { detectors: ['msp', 'knn'], hasIntervals: true, hasPairs: true });
});

/** A copy of the run with something changed in one of its JSON files, or its text replaced. */
function changed(file: string, change: ((value: Record<string, unknown>) => void) | string): string {
  const folder = join(root, `copy-${copies++}`);
  cpSync(whole, folder, { recursive: true });
  const path = join(folder, file);
  if (typeof change === 'string') {
    writeFileSync(path, change);
    return folder;
  }
  const value = JSON.parse(readFileSync(path, 'utf8'));
  change(value);
  writeFileSync(path, JSON.stringify(value));
  return folder;
}

/** One sentence with this code. */
async function fails(folder: string, code: 'E_DATA' | 'E_IO', message: RegExp): Promise<void> {
  await assert.rejects(readRun(folder), (error: Error) => {
    assert.ok(hasCode(error, code), `${error}`);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}

describe('readRun', () => {
  it('gives back what the run has found', async () => {
    const { results, curves, epochs, record, figures } = await readRun(whole);
    assert.deepEqual(JSON.parse(resultsJson(results)), JSON.parse(readFileSync(join(whole, 'results.json'), 'utf8')));
    assert.deepEqual(results.rows, evaluation.rows);
    assert.equal(curves.roc.length, 2 * 2 * 4);
    assert.deepEqual(results.agreement, curves.classes);
    assert.deepEqual(
      epochs.map(({ mode, epochs: own }) => [mode, own.length]),
      [
        ['1000', 3],
        ['1100', 3],
        ['1200', 3],
      ],
    );
    assert.equal(record.experiment.name, 'Made up');
    assert.deepEqual(figures, []);
  });

  it('says in one sentence what is missing', async () => {
    await fails(join(root, 'nowhere'), 'E_IO', /nowhere: expected the folder of a finished run, found nothing\.$/);
    await fails(
      join(whole, 'results.csv'),
      'E_IO',
      /results\.csv: expected the folder of a finished run, found a file\.$/,
    );
    mkdirSync(join(root, 'empty'));
    await fails(join(root, 'empty'), 'E_IO', /results\.json is not there: expected the folder of a finished run\.$/);
    for (const file of ['curves.json', 'experiment.json']) {
      const folder = changed(file, '');
      rmSync(join(folder, file));
      await fails(
        folder,
        'E_IO',
        new RegExp(`${file} is not there: the run was stopped before its end; run the experiment again\\.$`),
      );
    }
  });

  it('says in one sentence what is damaged, with file and field', async () => {
    for (const file of ['results.json', 'curves.json', 'experiment.json']) {
      const text = readFileSync(join(whole, file), 'utf8');
      await fails(
        changed(file, text.slice(0, text.length / 2)),
        'E_DATA',
        new RegExp(`${file} is damaged: expected JSON, found`),
      );
    }
    const rows = (value: Record<string, unknown>) => value.rows as Record<string, unknown>[];
    const cases: [string, (value: Record<string, unknown>) => void, RegExp][] = [
      [
        'results.json',
        (v) => Object.assign(rows(v)[1] as object, { auroc: 'x' }),
        /rows\[1\]\.auroc: expected number, found "x"\.$/,
      ],
      [
        'results.json',
        (v) => Object.assign(rows(v)[0] as object, { detector: 'msd' }),
        /rows\[0\]\.detector: expected the name of a detector, found "msd"\.$/,
      ],
      [
        'results.json',
        (v) => rows(v).pop(),
        /rows: expected 28, one for each detector, .*, found 27 rows, 27 of them different\.$/,
      ],
      ['results.json', (v) => delete v.fusion, /fusion: expected .*, found nothing\.$/],
      ['experiment.json', (v) => delete v.modes, /modes: expected array, found nothing\.$/],
    ];
    for (const [file, change, message] of cases) await fails(changed(file, change), 'E_DATA', message);
    const list = (value: unknown) => value as object[];
    const curves: [(value: Record<string, unknown>) => void, RegExp][] = [
      [(v) => (list(v.roc)[0] as { tpr: number[] }).tpr.pop(), /roc\[0\]\.tpr: expected \d+ numbers, found \d+\.$/],
      [(v) => Object.assign(list(v.roc)[0] as object, { fpr: [2] }), /roc\[0\]\.fpr\[0\]: /],
      [
        (v) => Object.assign(list(v.histograms)[1] as object, { out: {} }),
        /histograms\[1\]\.out: expected 48 bins of SVHN, found none\.$/,
      ],
      [
        (v) => Object.assign(list(v.classes)[0] as object, { share: [[1]] }),
        /classes\[0\]\.share: expected 3 × 3 numbers, found others\.$/,
      ],
    ];
    for (const [change, message] of curves) await fails(changed('curves.json', change), 'E_DATA', message);
  });

  it('says in one sentence what is of another version or another run', async () => {
    const old = (value: Record<string, unknown>) => {
      delete value.format;
      delete value.version;
    };
    await fails(
      changed('results.json', old),
      'E_DATA',
      /expected mode-ensemble results 1, found no version at all, .*; run the experiment again/,
    );
    await fails(
      changed('curves.json', (v) => Object.assign(v, { version: 2 })),
      'E_DATA',
      /curves\.json is of another version: expected mode-ensemble curves 1, found mode-ensemble curves 2; /,
    );
    await fails(
      changed('results.json', (v) => Object.assign(v, { warnings: ['other'] })),
      'E_DATA',
      /curves\.json belongs to another results\.json/,
    );
    await fails(
      changed('experiment.json', (v) => Object.assign(v, { modes: [] })),
      'E_DATA',
      /experiment\.json belongs to another run than results\.json: it has no mode 1000;/,
    );
  });

  it('reads no log outside of the folder, and does without those that are gone or cut off', async () => {
    const folder = changed('experiment.json', (value) => {
      const modes = value.modes as { checkpoint: string }[];
      (modes[0] as { checkpoint: string }).checkpoint =
        '../whole/modes/cifar-resnet18/seed-1000/checkpoint.safetensors';
    });
    rmSync(join(folder, 'modes/cifar-resnet18/seed-1100/log.jsonl'));
    const log = join(folder, 'modes/cifar-resnet18/seed-1200/log.jsonl');
    writeFileSync(log, `${readFileSync(log, 'utf8').slice(0, -20)}`);
    const { epochs } = await readRun(folder);
    assert.deepEqual(
      epochs.map(({ epochs: own }) => own.length),
      [0, 0, 2],
    );
  });

  it('reads results alone for tables', async () => {
    const folder = changed('curves.json', '');
    const { results } = await readResults(folder);
    assert.deepEqual(results.rows, evaluation.rows);
  });
});

describe('readFigures', () => {
  const withIndex = (index: unknown, kind = 'landscape') => {
    const folder = join(root, `figures-${copies++}`);
    mkdirSync(join(folder, kind), { recursive: true });
    writeFileSync(join(folder, kind, `${kind}.json`), typeof index === 'string' ? index : JSON.stringify(index));
    writeFileSync(join(folder, kind, 'a.svg'), '<svg/>');
    return folder;
  };

  it('reads the pictures of each command, and what else an index holds it leaves', async () => {
    const figures = [{ file: 'a.svg', title: 'A', caption: 'b', more: 1 }];
    const [group] = await readFigures(withIndex({ version: 1, figures, grid: 51 }));
    assert.deepEqual([group?.id, group?.title, group?.figures.length], ['landscape', 'Loss landscape', 1]);
    assert.equal(Buffer.from(group?.figures[0]?.svg ?? []).toString(), '<svg/>');
    const [other] = await readFigures(withIndex({ version: 1, figures: [{ file: 'a.svg', title: 'A' }] }, 'connect'));
    assert.deepEqual([other?.title, other?.figures[0]?.caption], ['Mode connectivity', '']);
    assert.deepEqual(await readFigures(root), []);
  });

  it('says in one sentence what is wrong with an index', async () => {
    const refuse = (index: unknown, message: RegExp) => assert.rejects(readFigures(withIndex(index)), message);
    const of = (file: string) => ({ version: 1, figures: [{ file, title: 'A', caption: '' }] });
    await refuse('{', /landscape\.json is damaged: expected JSON/);
    await refuse({ version: 2, figures: [] }, /landscape\.json is damaged: version: expected .*1.*, found 2\.$/);
    await refuse(
      of('../a.svg'),
      /figures\[0\]\.file: expected the name of an SVG file in the same folder, found "\.\.\/a\.svg"\.$/,
    );
    await refuse(of('a.png'), /expected the name of an SVG file/);
    await refuse(of('b.svg'), /b\.svg cannot be read: /);
    const large = withIndex(of('a.svg'));
    writeFileSync(join(large, 'landscape/a.svg'), Buffer.alloc((8 << 20) + 1));
    await assert.rejects(readFigures(large), /expected pictures of at most 8 MiB together, found more at a\.svg\.$/);
  });
});

describe('reportRun', () => {
  it('replaces the pictures of an earlier report, and leaves those of others', async () => {
    const folder = changed('results.csv', '');
    await reportRun(folder);
    const figures = join(folder, 'figures');
    const before = readdirSync(figures);
    assert.ok(before.includes('roc-msp-SVHN.svg') && before.includes('training-loss.svg'), before.join());
    writeFileSync(join(figures, 'mine.svg'), '<svg/>');
    rmSync(join(folder, 'modes'), { recursive: true });
    const page = readFileSync(join(folder, 'report.html'));
    await reportRun(folder);
    assert.deepEqual(
      readdirSync(figures).sort(),
      [...before.filter((name) => !name.startsWith('training-')), 'mine.svg'].sort(),
    );
    assert.notDeepEqual(readFileSync(join(folder, 'report.html')), page);
    assert.ok(existsSync(join(folder, 'report.tex')));
  });

  it('gives the same bytes again', async () => {
    const [first, second] = [changed('results.csv', ''), changed('results.csv', '')];
    await reportRun(first);
    await reportRun(second);
    for (const name of ['report.html', 'report.md', 'report.tex', 'figures/sizes-msp.svg']) {
      assert.deepEqual(readFileSync(join(first, name)), readFileSync(join(second, name)), name);
    }
  });
});
