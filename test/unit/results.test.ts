import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileName, npyFloat32, resultsCsv, writeResults, writeScores } from '../../lib/run/results.js';
import type { Evaluation } from '../../lib/run/types.js';

const folder = mkdtempSync(join(tmpdir(), 'results-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('results', () => {
  const evaluation = (change: Partial<Evaluation> = {}): Evaluation => ({
    convention: 'reference',
    fusion: 'paper',
    in: 'shapes',
    out: ['near'],
    arch: 'r18',
    detectors: [{ name: 'msp', parameters: {} }],
    accuracy: [{ kind: 'mode', members: 'a', n: 3, top1: 0.5 }],
    rows: [
      {
        in: 'shapes',
        out: 'near',
        arch: 'r18',
        detector: 'msp',
        kind: 'mode',
        members: 'a',
        n_in: 3,
        n_out: 2,
        auroc: 0.75,
        aupr_in: 0.1 + 0.2,
        aupr_out: 1 / 3,
        fpr95: 0.5,
      },
      {
        in: 'shapes',
        out: 'near',
        arch: 'r18',
        detector: 'msp',
        kind: 'mode',
        members: 'b',
        n_in: 3,
        n_out: 2,
        auroc: 0.25,
        aupr_in: 1,
        aupr_out: 0,
        fpr95: 0.25,
      },
      {
        in: 'shapes',
        out: 'near',
        arch: 'r18',
        detector: 'msp',
        kind: 'mode',
        members: 'c',
        n_in: 3,
        n_out: 2,
        auroc: 0.5,
        aupr_in: 1,
        aupr_out: 0,
        fpr95: 0,
      },
      {
        in: 'shapes',
        out: 'near',
        arch: 'r18',
        detector: 'msp',
        kind: 'ensemble',
        members: 'a+b',
        n_in: 3,
        n_out: 2,
        auroc: 1,
        aupr_in: 1,
        aupr_out: 1,
        fpr95: 0.125,
      },
    ],
    scores: [],
    warnings: ['one'],
    ...change,
  });

  it('writes the columns in order with every digit', () => {
    const lines = resultsCsv(evaluation().rows).split('\n');
    assert.equal(lines[0], 'in,out,arch,detector,kind,members,n_in,n_out,auroc,aupr_in,aupr_out,fpr95');
    assert.equal(lines[1], 'shapes,near,r18,msp,mode,a,3,2,0.75,0.30000000000000004,0.3333333333333333,0.5');
    assert.equal(lines.length, 6);
    assert.equal(lines[5], '');
  });

  it('quotes names that hold commas and quotes', () => {
    const row = { ...(evaluation().rows[0] as Evaluation['rows'][number]), out: 'a,"b"' };
    assert.match(resultsCsv([row]), /\nshapes,"a,""b""",r18/);
  });

  it('writes both files, with a summary over modes and the gain of the ensemble over its own', async () => {
    const own = mkdtempSync(join(folder, 'run-'));
    const paths = await writeResults(join(own, 'deep', 'run'), evaluation());
    assert.equal(readFileSync(paths.csv, 'utf8'), resultsCsv(evaluation().rows));
    const json = JSON.parse(readFileSync(paths.json, 'utf8'));
    assert.equal(json.convention, 'reference');
    assert.match(json.conventionMeaning, /in-distribution is the positive class/);
    assert.deepEqual(json.rows, evaluation().rows);
    assert.deepEqual(json.accuracy, evaluation().accuracy);
    assert.deepEqual(json.warnings, ['one']);
    assert.equal(json.summary.length, 1);
    assert.deepEqual(json.summary[0].modes.fpr95, { n: 3, mean: 0.25, std: 0.25, min: 0, max: 0.5 });
    // Modes a and b have 0.5 and 0.25: mean 0.375, minus 0.125.
    assert.deepEqual(json.summary[0].ensembles, [
      { members: 'a+b', auroc: 1, aupr_in: 1, aupr_out: 1, fpr95: 0.125, gain_fpr95: 0.25 },
    ]);
    assert.deepEqual(readdirSync(join(own, 'deep', 'run')).sort(), ['results.csv', 'results.json']);
  });

  it('writes NumPy 1.0 files of little-endian float32', () => {
    const bytes = Buffer.from(npyFloat32(Float64Array.of(1, -0.1)));
    const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    assert.equal(bytes.subarray(0, 8).toString('latin1'), '\x93NUMPY\x01\x00');
    assert.equal(bytes.readUInt16LE(8), 118);
    assert.equal(bytes.subarray(10, 128).toString('latin1'), `${header.padEnd(117)}\n`);
    assert.equal(bytes.length, 136);
    assert.equal(bytes.readFloatLE(128), 1);
    assert.equal(bytes.readFloatLE(132), Math.fround(-0.1));
  });

  it('writes scores where no name can lead out of the folder', async () => {
    const own = mkdtempSync(join(folder, 'scores-'));
    const scores = [
      {
        detector: 'msp',
        members: ['../../x', 'b'],
        in: Float64Array.of(1),
        out: { '..': Float64Array.of(2), 'a/b c': Float64Array.of(3) },
      },
    ];
    const paths = await writeScores(own, evaluation({ in: 'CIFAR-10', scores }));
    assert.deepEqual(
      paths.map((path) => relative(own, path)),
      ['CIFAR-10', '%2E.', 'a%2Fb%20c'].map((name) => join('msp', '%2E.%2F..%2Fx+b', `${name}.npy`)),
    );
    assert.equal(readFileSync(paths[2] as string).readFloatLE(128), 3);
  });

  it('keeps different names different', () => {
    const long = 'x'.repeat(300);
    const names = ['', '%', '%25', '.', '..', 'a/b', 'a\\b', 'ä', 'a\0b', 'A', 'a', long, `${long}y`];
    const made = names.map(fileName);
    assert.equal(new Set(made).size, names.length);
    for (const name of made) assert.match(name, /^[A-Za-z0-9_+=@,%~-][A-Za-z0-9_+=@,.%~-]{0,179}$/);
    assert.equal(fileName('1000+1100'), '1000+1100');
  });
});
