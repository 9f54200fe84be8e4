import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { measure, recordOf } from '../../lib/metrics/index.js';
import { histogram, inThreshold, scoreRange } from '../../lib/report/histogram.js';
import { html, trusted } from '../../lib/report/html.js';
import { describeResults, formatTables, renderReport } from '../../lib/report/index.js';
import { flatten } from '../../lib/report/sections/settings.js';
import type { Evaluation, ResultRow, ScoreSet } from '../../lib/run/types.js';
import { still, textOf } from '../helpers/page.js';

/** FPR95 by detector, set and members; the other metrics are the same for all. */
const FPR: Record<string, Record<string, Record<string, number>>> = {
  msp: { near: { a: 0.5, b: 0.3, 'a+b': 0.35 }, far: { a: 0.2, b: 0.2, 'a+b': 0.1 } },
  knn: { near: { a: 0.6, b: 0.4, 'a+b': 0.55 }, far: { a: 0.3, b: 0.2, 'a+b': 0.25 } },
};

function evaluation(inName = 'shapes', names: readonly [string, string] = ['near', 'far']): Evaluation {
  const rows: ResultRow[] = [];
  const scores: ScoreSet[] = [];
  for (const [detector, sets] of Object.entries(FPR)) {
    for (const [index, [, values]] of Object.entries(sets).entries()) {
      for (const [members, fpr95] of Object.entries(values)) {
        const kind = members.includes('+') ? 'ensemble' : 'mode';
        const out = names[index] as string;
        const same = {
          in: inName,
          arch: 'r18',
          n_in: 40,
          n_out: 40,
          auroc: 0.9,
          aupr_in: 0.8,
          aupr_out: 0.7,
          detection_error: 0.2,
        };
        rows.push({ ...same, out, detector, kind, members, fpr95 });
      }
    }
    for (const members of [['a'], ['b'], ['a', 'b']]) {
      const ramp = (shift: number) => Float64Array.from({ length: 40 }, (_, i) => i + shift);
      const out = Object.fromEntries(names.map((name, i) => [name, ramp(-10 * (i + 1))]));
      scores.push({ detector, members, in: ramp(0), out });
    }
  }
  const accuracy = [
    { kind: 'mode' as const, members: 'a', n: 40, top1: 0.9 },
    { kind: 'mode' as const, members: 'b', n: 40, top1: 0.92 },
    { kind: 'ensemble' as const, members: 'a+b', n: 40, top1: 0.93 },
  ];
  return {
    convention: 'reference',
    fusion: 'paper',
    in: inName,
    out: [...names],
    arch: 'r18',
    detectors: Object.keys(FPR).map((name) => ({ name, parameters: {} })),
    accuracy,
    rows,
    scores,
    warnings: [],
  };
}

/** The same with an interval of ±10 points around each FPR95, and gains on the first set. */
function withIntervals(given: Evaluation): Evaluation {
  const rows = given.rows.map((row) => ({ ...row, fpr95_lo: row.fpr95 - 0.1, fpr95_hi: row.fpr95 + 0.1 }));
  const interval = (low: number, high: number) => recordOf((): [number, number] => [low, high]);
  const gains = ['msp', 'knn'].map((detector) => ({
    ...{ out: given.out[0] as string, detector, members: 'a+b' },
    ...{ mean: interval(-0.01, 0.02), best: interval(-0.03, 0.005) },
  }));
  return { ...given, rows, gains, intervals: { resamples: 100, level: 0.95, seed: 3 } };
}

const report = (given: Evaluation, title = 'A report') =>
  renderReport({
    evaluation: given,
    title,
    settings: { seeds: [1, 2], train: { epochs: 3 } },
    environment: { threads: 2 },
  });

describe('html', () => {
  it('escapes values, lists and attributes, but not markup of its own', () => {
    const name = `<b a="1" c='2'>&`;
    assert.equal(
      html`<i title="${name}">${[name, html`<u>${1}</u>`, undefined]}</i>`.html,
      '<i title="&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;">&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;<u>1</u></i>',
    );
    assert.equal(html`${trusted('<svg/>')}`.html, '<svg/>');
    assert.equal(html`${'a\0b\ud800c\u{1f600}'}`.html, 'a\ufffdb\ufffdc\u{1f600}');
  });
});

describe('histogram', () => {
  it('shares the scores out, with what lies outside in the outermost bins', () => {
    const found = histogram(Float64Array.of(0, 0.24, 0.5, 1), Float64Array.of(-5, 7), [0, 1], 4);
    assert.deepEqual(found.edges, [0, 0.25, 0.5, 0.75, 1]);
    assert.deepEqual(found.in, [0.5, 0, 0.25, 0.25]);
    assert.deepEqual(found.out, [0.5, 0, 0, 0.5]);
  });
  it('leaves the outermost 0.5 % out of the range, and gives equal scores room', () => {
    const many = Float64Array.from({ length: 2000 }, (_, i) => (i === 0 ? -1e6 : i === 7 ? 1e6 : i));
    assert.deepEqual(scoreRange([many, Float64Array.of(5)]), [5, 1990]);
    assert.deepEqual(scoreRange([Float64Array.of(1, 1)]), [0.5, 1.5]);
    assert.deepEqual(scoreRange([Float64Array.of(200)]), [198, 202]);
  });
  it('finds the score that 95 % of InD reach', () => {
    assert.equal(inThreshold(Float64Array.from({ length: 100 }, (_, i) => 99 - i)), 5);
  });
});

describe('describeResults', () => {
  it('names the best detector, the gain, the spread and the accuracy', () => {
    assert.equal(
      describeResults(evaluation()),
      '2 modes of r18 and their ensemble, measured on shapes against 2 OoD sets (near, far). ' +
        // (0.35 + 0.1) / 2 and (0.55 + 0.25) / 2
        'For the ensemble, MSP has the lowest FPR95 on average over the OoD sets: 22.50 % (kNN 40.00 %). ' +
        // msp: (0.4 - 0.35 + 0.2 - 0.1) / 2; knn: (0.5 - 0.55 + 0.25 - 0.25) / 2
        'MSP gains most from the ensemble: against the mean of its own modes its FPR95 is 7.50 points lower; ' +
        'it is 2.50 points higher with kNN. ' +
        // ranges 0.2, 0, 0.2, 0.1
        'The best and the worst mode lie 12.50 points of FPR95 apart on average, at most 20.00 (MSP on near). ' +
        'Test accuracy is 91.00 ± 1.41 % over the modes and 93.00 % for the ensemble.',
    );
  });
  it('tells how often two modes name the same class', () => {
    const share = (value: number) => [
      [1, value],
      [value, 1],
    ];
    const of = (set: string, value: number) => ({ set, modes: ['a', 'b'], share: share(value) });
    const agreement = [of('shapes', 0.9), of('near', 0.5), of('far', 0.2)];
    assert.match(
      describeResults({ ...evaluation(), agreement }),
      / Two modes name the same class for 90\.00 % of shapes and for 35\.00 % of OoD images, on average\. Test accuracy/,
    );
  });
  it('does without an ensemble', () => {
    const given = evaluation();
    const only = <Row extends { members: string }>(rows: Row[]) => rows.filter(({ members }) => members === 'a');
    const text = describeResults({ ...given, rows: only(given.rows), accuracy: only(given.accuracy) });
    assert.equal(
      text,
      '1 mode of r18, measured on shapes against 2 OoD sets (near, far). ' +
        'Over the modes, MSP has the lowest FPR95 on average over the OoD sets: 35.00 % (kNN 45.00 %). ' +
        'Test accuracy is 90.00 % for the mode.',
    );
  });
});

describe('formatTables', () => {
  it('aligns one table a detector and metric, and names the convention', () => {
    const parts = formatTables(evaluation()).split('\n\n');
    assert.equal(parts.length, 6);
    assert.equal(
      parts[0],
      [
        'Accuracy %            top-1',
        'a                     90.00',
        'b                     92.00',
        'mean ± std     91.00 ± 1.41',
        'min–max         90.00–92.00',
        'ensemble of 2         93.00',
      ].join('\n'),
    );
    assert.equal(
      parts[1],
      [
        'MSP, FPR95 %      a      b     mean ± std  ensemble of 2  over mean  over best',
        'near          50.00  30.00  40.00 ± 14.14          35.00      +5.00      -5.00',
        'far           20.00  20.00   20.00 ± 0.00          10.00     +10.00     +10.00',
      ].join('\n'),
    );
    assert.match(parts[3] ?? '', /^kNN, FPR95 % /);
    assert.match(
      parts[5] ?? '',
      /^over mean, over best: points by .*\.\nIn shapes; convention "reference": in-distribution is the positive class; .*\.\n$/,
    );
  });

  it('keeps to 100 columns: with intervals or many modes, the modes stand in their mean and range', () => {
    const given = withIntervals(evaluation());
    const parts = formatTables(given).split('\n\n');
    assert.equal(
      parts[1],
      [
        'MSP, FPR95 %     mean ± std      min–max       ensemble of 2           over mean           over best',
        'near          40.00 ± 14.14  30.00–50.00  35.00 [25.0, 45.0]  +5.00 [-1.0, +2.0]  -5.00 [-3.0, +0.5]',
        'far            20.00 ± 0.00  20.00–20.00   10.00 [0.0, 20.0]              +10.00              +10.00',
      ].join('\n'),
    );
    assert.match(parts[5] ?? '', /\nIn brackets: 95 % bootstrap intervals over images \(100 resamples, seed 3\)\.\n/);
    const lines = parts.slice(0, 5).join('\n').split('\n');
    assert.ok(lines.every((line) => line.length <= 100));
    // A single mode has room for its interval.
    const only = <Row extends { members: string }>(rows: Row[]) => rows.filter(({ members }) => members === 'a');
    const single = formatTables({ ...given, rows: only(given.rows), accuracy: only(given.accuracy) }).split('\n\n');
    assert.equal(
      single[1],
      ['MSP, FPR95 %                   a', 'near          50.00 [40.0, 60.0]', 'far           20.00 [10.0, 30.0]'].join(
        '\n',
      ),
    );
    assert.doesNotMatch(single.join(), /ensemble|over mean/);
  });

  it('averages over several ensembles of one size', () => {
    const given = evaluation();
    const more = (members: string, fpr95: number) =>
      given.rows.filter((row) => row.members === 'a+b').map((row): ResultRow => ({ ...row, members, fpr95 }));
    given.rows.push(
      ...evaluation()
        .rows.filter(({ members }) => members === 'a')
        .map((row) => ({ ...row, members: 'c' })),
    );
    given.rows.push(...more('a+c', 0.25));
    given.accuracy.push({ kind: 'ensemble', members: 'a+c', n: 40, top1: 0.95 });
    const [accuracy, msp] = formatTables(given).split('\n\n');
    assert.match(accuracy ?? '', /\na\+b +93\.00\na\+c +95\.00$/);
    // near: 35 and 25, over the mean of their own modes by 5 and 25.
    assert.match(
      msp ?? '',
      /2 ensembles of 2  over mean  over best\nnear .* 30\.00 ± 7\.07     \+15\.00     \+10\.00\n/,
    );
  });
});

describe('renderReport', () => {
  it('is one file that loads nothing, and in which only its own scripts run', async () => {
    const page = await report(evaluation());
    assert.ok(page.startsWith('<!doctype html>'));
    assert.doesNotMatch(still(page), /<link|<img|<iframe|@import|url\(|javascript:| on\w+=/i);
    // The only addresses are the names of SVG's XML namespaces.
    const addresses = new Set(still(page).match(/https?:\/\/[^"' )]+/g));
    assert.deepEqual([...addresses].sort(), ['http://www.w3.org/1999/xlink', 'http://www.w3.org/2000/svg']);
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1] ?? '';
    assert.match(
      policy,
      /^default-src 'none'; script-src 'sha256-[^;]*'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'/,
    );
    const scripts = [...page.matchAll(/<script(?: type="module")?>(.*?)<\/script>/gs)].map(
      ([, code]) => code as string,
    );
    assert.equal(scripts.length, 2);
    for (const code of scripts)
      assert.ok(policy.includes(`'sha256-${createHash('sha256').update(code).digest('base64')}'`));
    // A strip for each set; ROC curves and histogram for each of two detectors and two sets.
    assert.equal(still(page).match(/<figure>/g)?.length, 2 + 2 * 4);
    // And three in each legend: of the strips, and two of each detector.
    assert.equal(still(page).match(/<svg /g)?.length, 10 + 3 + 2 * 6);
    assert.ok(still(page).length < 200_000, `${still(page).length}`);
  });

  it('marks the best of a row and tells mean, deviation and range', async () => {
    const page = await report(evaluation());
    const row = page.match(/<tr class="set"><td>near<\/td>.*?<\/tr>/s)?.[0] ?? '';
    const cells = [...row.matchAll(/<td[^>]*>(.*?)<\/td>/gs)].map(([, cell]) => cell?.replace(/<[^>]*>/g, ''));
    assert.deepEqual(cells, ['near', '35.00', '40.00 ± 14.14', '30.00–50.00', '50.00', '★ 30.00']);
    assert.match(
      page,
      /<p class="soft">★ best of the row\. In percent; convention &quot;reference&quot;: in-distribution is/,
    );
    assert.match(page, /<td>train\.epochs<\/td><td>3<\/td>/);
    assert.match(page, /<td>seeds<\/td><td>1, 2<\/td>/);
  });

  it('sets ensembles against the mean and the best of their modes in all metrics, with intervals', async () => {
    const page = await report(withIntervals(evaluation()));
    const text = textOf(page);
    assert.match(
      text,
      /near 35\.00 \[25\.0, 45\.0\] 40\.00 ± 14\.14 30\.00–50\.00 50\.00 \[40\.0, 60\.0\] ★ 30\.00 \[/,
    );
    assert.match(
      text,
      /What the ensemble gains points FPR95 over mean FPR95 over best AUROC over mean .* ensemble of 2 near \+5\.00 \[-1\.0, \+2\.0\] -5\.00 \[-3\.0, \+0\.5\] 0\.00 \[-1\.0, \+2\.0\] .* far \+10\.00 \+10\.00 0\.00 /,
    );
    assert.match(text, /Detection error % \(lower is better\) near ★ 20\.00/);
    assert.match(text, /In brackets: 95 % bootstrap intervals over images \(100 resamples, seed 3\)\./);
    assert.match(text, /mean ± std over modes 91\.00 ± 1\.41 min–max over modes 90\.00–92\.00/);
    assert.doesNotMatch(still(page), /NaN|undefined/);
  });

  it('escapes every name, also in charts', async () => {
    const evil = `<script>alert("x")</script>&'`;
    const page = await report({ ...evaluation(evil, [evil, 'far']), arch: evil, warnings: [evil] }, evil);
    assert.doesNotMatch(still(page), /<script/);
    assert.equal(page.match(/<script/g)?.length, 3);
    assert.match(page, /<title>&lt;script&gt;alert\(&quot;x&quot;\)&lt;\/script&gt;&amp;&#39;<\/title>/);
    assert.match(page, /aria-label="Histogram of MSP scores: &lt;script&gt;/);
  });

  it('shows training and, where there are many, ensembles by size', async () => {
    const given = evaluation();
    const more = (members: string, fpr95: number) =>
      given.rows.filter((row) => row.members === 'a+b').map((row): ResultRow => ({ ...row, members, fpr95 }));
    given.rows.push(...more('a+c', 0.2), ...more('b+c', 0.1), ...more('a+b+c', 0));
    given.scores.push(
      ...given.scores
        .filter(({ members }) => members.length === 2)
        .map((set) => ({ ...set, members: ['a', 'b', 'c'] })),
    );
    for (const members of ['a+c', 'b+c', 'a+b+c']) given.accuracy.push({ kind: 'ensemble', members, n: 40, top1: 0.9 });
    const epochs = [
      {
        mode: 'a',
        epochs: [
          { epoch: 1, loss: 2, accuracy: 40, seconds: 3 },
          { epoch: 2, loss: 1.5, accuracy: 60, seconds: 4 },
        ],
      },
    ];
    const page = await renderReport({ evaluation: given, title: 'x', settings: {}, environment: {}, epochs });
    const text = textOf(page);
    // Pairs, msp: 0.225, 0.2 and 0.1.
    assert.match(
      text,
      /FPR95 by number of members a mode or an ensemble mean of its size MSP .* members subsets MSP kNN 1 2 30\.00 25\.00–35\.00 .* 2 3 17\.50 10\.00–22\.50 .* 3 1 0\.00 0\.00–0\.00/,
    );
    assert.match(text, /MSP ensemble of 3 mean ± std over modes/);
    assert.match(text, /Training .* mode epochs last loss last test accuracy, % time, s a 2 1\.5000 60\.00 7/);
    assert.doesNotMatch(text, /Settings|Environment/);
  });

  it('stays small for four sets and three detectors with real scores', async () => {
    const names = ['o1', 'o2', 'o3', 'o4'];
    const wave = (shift: number) =>
      Float64Array.from({ length: 2000 }, (_, i) => Math.sin(i * 12.9898 + shift) + shift);
    const rows: ResultRow[] = [];
    const scores: ScoreSet[] = [];
    for (const detector of ['msp', 'energy', 'knn']) {
      const set = {
        detector,
        members: ['a'],
        in: wave(0.5),
        out: Object.fromEntries(names.map((name, i) => [name, wave(-i / 4)])),
      };
      scores.push(set);
      for (const [out, values] of Object.entries(set.out)) {
        const { warnings: _, ...found } = measure(set.in, values);
        rows.push({ in: 'i', out, arch: 'r', detector, kind: 'mode', members: 'a', n_in: 2000, n_out: 2000, ...found });
      }
    }
    const accuracy = [{ kind: 'mode' as const, members: 'a', n: 2000, top1: 0.9, top5: 1 }];
    const page = await report({
      convention: 'reference',
      fusion: 'paper',
      in: 'i',
      out: names,
      arch: 'r',
      detectors: [],
      accuracy,
      rows,
      scores,
      warnings: [],
    });
    assert.equal(still(page).match(/<figure>/g)?.length, 4 + 2 * 12);
    assert.ok(still(page).length < 400_000, `${still(page).length} bytes`);
    assert.doesNotMatch(still(page), /NaN|undefined|Infinity/);
  });
});

describe('flatten', () => {
  it('makes paths of nested settings', () => {
    assert.deepEqual(
      flatten({ a: { b: 1, c: [1, 2] }, d: [{ e: true }, { e: null }], f: [['x', 'y'], ['z']], g: undefined }),
      [
        ['a.b', '1'],
        ['a.c', '1, 2'],
        ['d[0].e', 'true'],
        ['d[1].e', 'null'],
        ['f', 'x+y, z'],
      ],
    );
  });
});
