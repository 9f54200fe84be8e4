import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ModeEnsembleError } from '../../lib/config/errors.js';
import type { ExperimentInput } from '../../lib/config/schema.js';
import { chooseEnsembles, type EnsembleWish } from '../../lib/run/experiment.js';
import { readRun } from '../../lib/run/read-run.js';
import { runExperiment } from '../../lib/run/run.js';
import { evaluateClean, evaluateOod } from '../../lib/run/run-checkpoints.js';
import { reportRun, reportRuns } from '../../lib/run/run-report.js';
import { fakeAddon } from './run-addon.js';

const root = mkdtempSync(join(tmpdir(), 'run-'));
after(() => rmSync(root, { recursive: true }));
let runs = 0;

function experiment(change: Partial<ExperimentInput> = {}): ExperimentInput & { run: string } {
  const run = join(root, `run-${runs++}`);
  return {
    in: 'builtin:shapes',
    out: ['builtin:a', 'B=builtin:b'],
    arch: 'R18',
    width: 16,
    seeds: [1, 2, 3],
    train: { epochs: 2 },
    evaluate: { detectors: ['msp', 'energy'] },
    threads: 1,
    ...change,
    run,
  };
}

test('a run trains, extracts each set in one pass, evaluates and writes; a second run does nothing again', async () => {
  const addon = fakeAddon();
  const settings = experiment();
  const stages: string[] = [];
  const result = await runExperiment(settings, { addon, onStage: (stage) => stages.push(stage) });
  assert.deepEqual(
    [result.folder, result.trained, result.reused, result.features, result.skipped],
    [settings.run, [1, 2, 3], [], { made: 9, reused: 0 }, {}],
  );
  assert.deepEqual(stages, [
    'open data',
    'train seed 1',
    'train seed 2',
    'train seed 3',
    'extract shapes (test)',
    'extract a',
    'extract B',
    'evaluate',
  ]);
  assert.deepEqual(
    addon.extracted.map(({ members }) => members.length),
    [3, 3, 3],
  );
  // 2 OoD sets × 2 detectors × (3 modes + 1 ensemble), and the header.
  assert.equal(readFileSync(join(settings.run, 'results.csv'), 'utf8').trimEnd().split('\n').length, 1 + 2 * 2 * 4);
  assert.deepEqual(readdirSync(settings.run).sort(), [
    'curves.json',
    'experiment.json',
    'features',
    'figures',
    'modes',
    'report.html',
    'report.md',
    'report.tex',
    'results.csv',
    'results.json',
    'steps',
    'steps.jsonl',
  ]);
  const record = JSON.parse(readFileSync(join(settings.run, 'experiment.json'), 'utf8'));
  assert.deepEqual(
    record.modes.map(({ seed, checkpoint }: { seed: number; checkpoint: string }) => [seed, checkpoint]),
    [1, 2, 3].map((seed) => [seed, `modes/cifar-resnet18-w16/seed-${seed}/checkpoint.safetensors`]),
  );
  assert.deepEqual([addon.open, addon.kept], [0, 0]);

  const again = await runExperiment(settings, { addon });
  assert.deepEqual([again.trained, again.reused, again.features], [[], [1, 2, 3], { made: 0, reused: 9 }]);
  assert.deepEqual([addon.trained.length, addon.extracted.length], [3, 3]);
});

test('a run of several architectures has results of all, and of each what a run of it alone would have left', async () => {
  const addon = fakeAddon();
  const models = [16, 8].map((width) => ({ arch: 'R18', width }));
  const settings = experiment({ arch: undefined, models, seeds: [1, 2], name: 'Two' });
  const { evaluations, report, reports } = await runExperiment(settings, { addon });
  const ids = evaluations.map(({ arch }) => arch);
  assert.equal(new Set(ids).size, 2);
  assert.deepEqual(
    reports.map(({ html }) => html),
    ids.map((id) => join(settings.run, 'archs', id, 'report.html')),
  );
  assert.deepEqual(report, reports[0]);
  const { archs } = JSON.parse(readFileSync(join(settings.run, 'results.json'), 'utf8'));
  assert.deepEqual(Object.keys(archs), ids);
  for (const [index, { html, markdown, latex, figures }] of reports.entries()) {
    const folder = join(settings.run, 'archs', ids[index] as string);
    const { results, record, epochs } = await readRun(folder);
    assert.deepEqual(results.rows, evaluations[index]?.rows);
    assert.equal(record.experiment.name, `Two: ${ids[index]}`);
    assert.deepEqual(
      epochs.map(({ mode }) => mode),
      ['1', '2'],
    );
    assert.ok(record.modes.every(({ checkpoint }) => existsSync(join(folder, checkpoint))));
    assert.ok([html, markdown, latex, ...figures].every((file) => existsSync(file)));
  }
  const pages = reports.map(({ html }) => readFileSync(html, 'utf8'));
  // They are made again from the folder alone, to the same bytes.
  assert.deepEqual(await reportRuns(settings.run), reports);
  assert.deepEqual(
    reports.map(({ html }) => readFileSync(html, 'utf8')),
    pages,
  );
  await assert.rejects(reportRun(settings.run), { code: 'E_DATA', message: /holds 2 architectures: expected one/ });
  const again = await runExperiment(settings, { addon });
  assert.equal(again.steps.done, 0);
});

test('a report that was changed, or whose pictures have changed, is made again', async () => {
  const addon = fakeAddon();
  const settings = experiment({ seeds: [1] });
  const { report } = await runExperiment(settings, { addon });
  const page = readFileSync(report.html, 'utf8');
  writeFileSync(report.html, 'nothing');
  assert.equal((await runExperiment(settings, { addon })).steps.done, 1);
  assert.equal(readFileSync(report.html, 'utf8'), page);
  const folder = join(settings.run, 'landscape');
  mkdirSync(folder);
  writeFileSync(join(folder, 'one.svg'), '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"/>');
  const figures = [{ file: 'one.svg', title: 'A picture of its own', caption: '' }];
  writeFileSync(join(folder, 'landscape.json'), JSON.stringify({ version: 1, figures }));
  assert.equal((await runExperiment(settings, { addon })).steps.done, 1);
  assert.match(readFileSync(report.html, 'utf8'), /A picture of its own/);
});

test('training features are extracted only for a detector that learns from them', async () => {
  const addon = fakeAddon();
  await assert.rejects(
    // The fake addon has no neighbours; what counts is what was extracted before they were asked for.
    runExperiment(experiment({ evaluate: { detectors: [{ knn: { k: 5 } }] } }), { addon }),
  );
  assert.equal(addon.extracted.length, 4);
});

test('a run that was stopped goes on from what is finished', async () => {
  const addon = fakeAddon();
  const settings = experiment();
  addon.onJob = (kind) => {
    if (kind === 'train 3') throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.');
  };
  await assert.rejects(runExperiment(settings, { addon }), { code: 'E_ABORTED' });
  assert.equal(addon.open, 0);
  assert.equal(existsSync(join(settings.run, 'results.csv')), false);
  let extractions = 0;
  addon.onJob = (kind) => {
    if (kind === 'extract' && ++extractions === 2) throw new ModeEnsembleError('E_ABORTED', 'The job was stopped.');
  };
  await assert.rejects(runExperiment(settings, { addon }), { code: 'E_ABORTED' });
  addon.onJob = () => {};
  const result = await runExperiment(settings, { addon });
  assert.deepEqual([result.trained, result.reused, result.features], [[], [1, 2, 3], { made: 6, reused: 3 }]);
});

test('bad images stop a run, unless they are to be passed over and counted', async () => {
  const addon = fakeAddon();
  addon.bad = 4;
  const settings = experiment({ seeds: [1] });
  await assert.rejects(runExperiment(settings, { addon }), { code: 'E_DATA', message: 'a: image 3 is no image' });
  const warnings: string[] = [];
  const onLog = ({ message }: { message: string }) => void warnings.push(message);
  const passed = { ...settings, skipBadImages: true };
  const result = await runExperiment(passed, { addon, onLog });
  assert.deepEqual(result.skipped, { a: 4, B: 4 });
  const warning = 'a: 4 of 20 images cannot be decoded and are passed over: a/0.png, a/1.png, a/2.png and 1 more';
  assert.ok(warnings.includes(warning), warnings.join('\n'));
  const four = (set: string) => [0, 1, 2, 3].map((index) => ({ name: `${set}/${index}.png`, reason: 'no image' }));
  const names = { a: four('a'), B: four('b') };
  assert.deepEqual(result.skippedImages, names);
  const results = () => JSON.parse(readFileSync(join(settings.run, 'results.json'), 'utf8'));
  assert.deepEqual([results().skipped, results().skippedImages], [{ a: 4, B: 4 }, names]);
  assert.ok(results().warnings.includes(warning));
  // A second run reads the features, and tells the same.
  const made = addon.extracted.length;
  const again = await runExperiment(passed, { addon });
  assert.deepEqual([again.skipped, again.skippedImages, addon.extracted.length], [{ a: 4, B: 4 }, names, made]);
  assert.deepEqual(results().skippedImages, names);
  // Files made while images were passed over are no way around the check.
  await assert.rejects(runExperiment(settings, { addon }), { message: 'a: image 3 is no image' });
});

test('names that are not known are found before anything is done', async () => {
  const addon = fakeAddon();
  const refused = (change: Partial<ExperimentInput>, message: string) =>
    assert.rejects(runExperiment(experiment(change), { addon, where: 'x.yaml' }), { code: 'E_CONFIG', message });
  await refused({ arch: 'R81' }, 'x.yaml: arch: unknown architecture "R81"; the nearest is "R18"');
  await refused(
    { evaluate: { detectors: ['enrgy'] } },
    'x.yaml: evaluate.detectors: Unknown detector "enrgy"; the nearest is "energy"',
  );
  await refused({ evaluate: { detectors: ['msp', 'MSP'] } }, 'x.yaml: evaluate.detectors: detector msp is given twice');
  await refused(
    { evaluate: { detectors: [{ knn: { n: 3 } }] } },
    'x.yaml: evaluate.detectors: Detector knn has no parameter "n"; known are k',
  );
  await refused(
    { evaluate: { ensembles: [[1, 9]] } },
    'x.yaml: evaluate.ensembles: Ensemble 1+9: there is no mode "9"; known are 1, 2, 3',
  );
  await refused(
    { evaluate: { ensembles: { size: 4 } } },
    'x.yaml: evaluate.ensembles: An ensemble of 4 cannot be made of 3 modes; expected a size from 1 to 3.',
  );
  await refused(
    { in: 'builtin:shapes?split=test' },
    'x.yaml: in: expected a set without a split, as a run takes both train and test, found ?split=test',
  );
  await refused({ out: ['builtin:c1'] }, 'x.yaml: out[0]: unknown built-in set "c1"; known are shapes, a, b');
  assert.deepEqual([addon.trained.length, addon.open], [0, 0]);
});

test('ensembles are all modes, subsets of a size, or lists', async () => {
  const addon = fakeAddon();
  const ensembles = async (wanted: 'all' | { size: number | 'all' } | number[][]) => {
    const settings = experiment({ evaluate: { detectors: ['msp'], ensembles: wanted } });
    const { evaluation } = await runExperiment(settings, { addon });
    const rows = evaluation.rows.filter(({ kind, out }) => kind === 'ensemble' && out === 'a');
    return rows.map(({ members }) => members);
  };
  assert.deepEqual(await ensembles('all'), ['1+2+3']);
  assert.deepEqual(await ensembles({ size: 2 }), ['1+2', '1+3', '2+3']);
  assert.deepEqual(await ensembles({ size: 'all' }), ['1+2', '1+3', '2+3', '1+2+3']);
  assert.deepEqual(await ensembles([[3, 1]]), ['1+3']);
});

test('ensembles of a size and lists are taken together', () => {
  const choose = (wanted: EnsembleWish) =>
    chooseEnsembles(wanted, ['1', '2', '3'], '--ensemble').map((one) => one.join('+'));
  const pairs = ['1+2', '1+3', '2+3'];
  assert.deepEqual(choose({ size: 2, lists: [['3', '2', '1']] }), [...pairs, '1+2+3']);
  // A list of that size is among them already.
  assert.deepEqual(choose({ size: 2, lists: [['3', '1']] }), pairs);
  assert.deepEqual(choose({ size: 2, lists: [] }), pairs);
  assert.throws(() => choose({ size: 2, lists: [['1', '4']] }), {
    code: 'E_CONFIG',
    message: /^--ensemble: .*no mode "4"/,
  });
  assert.throws(() => choose({ size: 4 }), {
    code: 'E_CONFIG',
    message: /^--ensemble: An ensemble of 4 cannot be made/,
  });
});

test('a run measures in the convention and with the intervals of the experiment', async () => {
  const addon = fakeAddon();
  const evaluate = { detectors: ['msp'], convention: 'openood' as const, intervals: { resamples: 20, seed: 4 } };
  const settings = experiment({ evaluate });
  const { evaluation } = await runExperiment(settings, { addon });
  assert.equal(evaluation.convention, 'openood');
  assert.deepEqual(evaluation.intervals, { resamples: 20, level: 0.95, seed: 4 });
  const [head, first] = readFileSync(join(settings.run, 'results.csv'), 'utf8').split('\n');
  assert.ok(
    head?.endsWith(
      'detection_error,auroc_lo,auroc_hi,aupr_in_lo,aupr_in_hi,aupr_out_lo,aupr_out_hi,fpr95_lo,fpr95_hi,detection_error_lo,detection_error_hi',
    ),
  );
  // All scores of the fake addon are equal: precision 1, then 1/2, in every resample.
  assert.ok(first?.endsWith(',20,20,0.5,0.75,0.75,1,0.5,0.5,0.5,0.75,0.75,0.75,0.75,1,1,0.5,0.5'), first);
  const json = JSON.parse(readFileSync(join(settings.run, 'results.json'), 'utf8'));
  assert.match(json.conventionMeaning, /^convention "openood": out-of-distribution is the positive class/);
  assert.deepEqual(json.summary[0].ensembles[0].over_best.fpr95, { gain: 0, lo: 0, hi: 0 });
});

test('ensembles are fused as the experiment says', async () => {
  const addon = fakeAddon();
  const settings = experiment({ evaluate: { detectors: ['msp', 'knn'], fusion: 'softmax' } });
  await assert.rejects(runExperiment(settings, { addon, where: 'x.yaml' }), {
    code: 'E_CONFIG',
    message:
      'x.yaml: evaluate.fusion: knn is no function of the softmax, of which the fusion "softmax" takes the mean; "paper" and "scores" are for all detectors',
  });
  assert.equal(addon.trained.length, 0);
  const { evaluation, folder } = await runExperiment(
    { ...settings, evaluate: { detectors: ['msp'], fusion: 'softmax' } },
    { addon },
  );
  assert.equal(evaluation.fusion, 'softmax');
  const saved = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
  assert.equal(saved('results.json').fusion, 'softmax');
  assert.equal(saved('experiment.json').experiment.evaluate.fusion, 'softmax');
});

test('a run folder that cannot be is one sentence, before anything is trained', async () => {
  const addon = fakeAddon();
  const file = join(root, 'file');
  writeFileSync(file, '');
  const run = join(file, 'run');
  await assert.rejects(runExperiment({ ...experiment(), run }, { addon }), {
    code: 'E_IO',
    message: `${file} is a file; expected a folder`,
  });
  assert.equal(addon.trained.length, 0);
});

test('checkpoints are evaluated without an experiment, from the same features', async () => {
  const addon = fakeAddon();
  const settings = experiment({ seeds: [1, 2] });
  await runExperiment(settings, { addon });
  const made = addon.extracted.length;
  const checkpoints = [1, 2].map((seed) =>
    join(settings.run, 'modes', 'cifar-resnet18-w16', `seed-${seed}`, 'checkpoint.safetensors'),
  );
  const shared = {
    checkpoints,
    in: 'builtin:shapes',
    features: join(settings.run, 'features'),
    batchSize: 8,
    precision: 'float32' as const,
    threads: 1,
    workers: 1,
    addon,
  };
  const clean = await evaluateClean(shared);
  const nothing = { top1: { gain: 0 } };
  const whole = { kind: 'ensemble', members: '1+2', n: 20, top1: 1, over_mean: nothing, over_best: nothing };
  assert.deepEqual(clean, {
    in: 'shapes',
    arch: 'cifar-resnet18-w16',
    modes: [
      { kind: 'mode', members: '1', n: 20, top1: 1 },
      { kind: 'mode', members: '2', n: 20, top1: 1 },
    ],
    top1: { n: 2, mean: 1, std: 0, min: 1, max: 1 },
    ensembles: [whole],
    ensemble: whole,
    skipped: {},
    skippedImages: {},
  });
  const ood = { ...shared, out: ['builtin:a'], detectors: ['msp'], ensembles: [['1', '2']] };
  const { evaluation } = await evaluateOod(ood);
  assert.deepEqual(
    evaluation.rows.map(({ out, members, auroc }) => [out, members, auroc]),
    [
      ['a', '1', 0.5],
      ['a', '2', 0.5],
      ['a', '1+2', 0.5],
    ],
  );
  assert.equal(addon.extracted.length, made);
  assert.equal(addon.open, 0);
});
