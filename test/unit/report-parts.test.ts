import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { agreementOf, buildCurve } from '../../lib/metrics/index.js';
import { agreementChart } from '../../lib/report/charts/agreement.js';
import { ChartBook } from '../../lib/report/charts/book.js';
import { recordsOf, tableOf } from '../../lib/report/charts/chart.js';
import { epochChart } from '../../lib/report/charts/epochs.js';
import { sizesChart } from '../../lib/report/charts/sizes.js';
import { compareResults, formatComparison } from '../../lib/report/compare.js';
import { curvesOf } from '../../lib/report/curves.js';
import { escapeLatex, latexTables } from '../../lib/report/latex.js';
import { escapeMarkdown, markdownReport, markdownTables } from '../../lib/report/markdown.js';
import { standalone } from '../../lib/report/palette.js';
import { paperTable } from '../../lib/report/paper-table.js';
import { embeddableJson, interpreterScript } from '../../lib/report/runtime.js';
import { figuresSection } from '../../lib/report/sections/figures.js';
import { thin } from '../../lib/report/thin.js';
import type { Results } from '../../lib/run/types.js';
import { madeUpEvaluation } from '../helpers/made-up-run.js';

const EVIL = '</script><img src=x>&"\'|`{}\\n_^~#%$';

/** Distance of a point from a line of straight pieces. */
function distance(px: number, py: number, x: readonly number[], y: readonly number[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i + 1 < x.length; i++) {
    const [ax, ay] = [x[i] as number, y[i] as number];
    const [dx, dy] = [(x[i + 1] as number) - ax, (y[i + 1] as number) - ay];
    const length = dx * dx + dy * dy;
    const t = length === 0 ? 0 : Math.max(0, Math.min(1, ((px - ax) * dx + (py - ay) * dy) / length));
    least = Math.min(least, Math.hypot(px - ax - t * dx, py - ay - t * dy));
  }
  return least;
}

describe('thin', () => {
  it('keeps ends and corners and leaves out what lies on the line', () => {
    assert.deepEqual(thin([0, 1, 2, 3, 4], [0, 1, 2, 1, 0], 0.01), [0, 2, 4]);
    assert.deepEqual(thin([], [], 1), []);
    assert.deepEqual(thin([3], [4], 1), [0]);
    assert.deepEqual(thin([1, 1, 1], [2, 2, 2], 0), [0, 2]);
    // A line that comes back: the distance is from the piece, not from the line through its ends.
    assert.deepEqual(thin([0, 5, 1], [0, 0, 0], 0.5), [0, 1, 2]);
  });

  it('leaves no point of a ROC curve farther than the tolerance, with a fraction of the points', () => {
    const { scores } = madeUpEvaluation({ modes: 1, detectors: ['msp'], out: ['a'], images: [2000, 1000] });
    const { tp, fp } = buildCurve(scores[0]?.in as Float64Array, scores[0]?.out.a as Float64Array, {
      in: 'i',
      out: 'o',
    });
    const [x, y] = [Array.from(fp, (n) => n / 1000), Array.from(tp, (n) => n / 2000)];
    const kept = thin(x, y, 1.5e-3);
    const [keptX, keptY] = [kept.map((i) => x[i] as number), kept.map((i) => y[i] as number)];
    for (const [i, px] of x.entries()) assert.ok(distance(px, y[i] as number, keptX, keptY) <= 1.5e-3 + 1e-12);
    assert.ok(kept.length < x.length / 5, `${kept.length} of ${x.length}`);
  });
});

describe('agreementOf', () => {
  it('is the share of equal places of each pair', () => {
    assert.deepEqual(
      agreementOf([
        [1, 2, 3, 4],
        [1, 2, 0, 0],
        [9, 2, 3, 4],
      ]),
      [
        [1, 0.5, 0.75],
        [0.5, 1, 0.25],
        [0.75, 0.25, 1],
      ],
    );
    assert.deepEqual(agreementOf([[], []]), [
      [1, 1],
      [1, 1],
    ]);
  });
});

describe('curvesOf', () => {
  const evaluation = madeUpEvaluation({ detectors: ['msp', 'knn'] });
  const curves = curvesOf(evaluation);

  it('has a curve for each mode and the largest ensemble, from nothing to everything accepted, of the right area', () => {
    assert.equal(curves.roc.length, 2 * 2 * 4);
    for (const { detector, out, members, fpr, tpr } of curves.roc) {
      assert.deepEqual([fpr[0], tpr[0], fpr.at(-1), tpr.at(-1)], [0, 0, 1, 1]);
      let area = 0;
      for (let i = 1; i < fpr.length; i++) {
        area += (((fpr[i] as number) - (fpr[i - 1] as number)) * ((tpr[i] as number) + (tpr[i - 1] as number))) / 2;
      }
      const row = evaluation.rows.find(
        (one) => one.detector === detector && one.out === out && one.members === members,
      );
      assert.ok(Math.abs(area - (row?.auroc ?? 0)) < 3e-3, `${detector} ${out} ${members}: ${area} ${row?.auroc}`);
    }
    assert.deepEqual(new Set(curves.roc.map(({ kind, members }) => `${kind} ${members}`)).size, 4);
  });

  it('has histograms of the ensemble, and decisions of each pair of modes', () => {
    assert.deepEqual(
      curves.histograms.map(({ detector, members }) => [detector, members]),
      [
        ['msp', '1000+1100+1200'],
        ['knn', '1000+1100+1200'],
      ],
    );
    for (const { in: shares } of curves.histograms) assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-3);
    assert.equal(curves.decisions.length, 2 * 3);
    const inside = curves.decisions.filter(({ set }) => set === evaluation.in);
    // Each mode rejects one in twenty, so that two differ on one in ten at most.
    for (const { share } of inside) assert.ok(share.flat().every((value) => value >= 0.9));
    assert.deepEqual(
      curves.classes.map(({ set }) => set),
      ['CIFAR-10', 'SVHN', 'LSUN'],
    );
  });
});

describe('charts', () => {
  it('carry rows as columns, and words once a run', () => {
    const rows = [
      ['a', 1],
      ['a', 2],
      ['b', 3],
    ];
    const table = tableOf(['word', 'number'], rows);
    assert.deepEqual(table, {
      word: {
        runs: [
          ['a', 2],
          ['b', 1],
        ],
      },
      number: [1, 2, 3],
    });
    assert.deepEqual(recordsOf(table), [
      { word: 'a', number: 1 },
      { word: 'a', number: 2 },
      { word: 'b', number: 3 },
    ]);
    assert.deepEqual(recordsOf(tableOf(['word'], [])), []);
  });

  it('show many subsets of a size by their ranks, the lowest and the highest among them', () => {
    const points = Array.from({ length: 252 }, (_, i) => ({
      members: `m${i}`,
      size: 5,
      fpr95: ((i * 101) % 252) / 252,
    }));
    const shown = recordsOf(sizesChart('x', points, 1).data.subsets ?? {}).map(({ fpr95 }) => fpr95);
    assert.deepEqual([shown.length, shown[0], shown.at(-1)], [60, 0, Number((251 / 252).toFixed(6))]);
    const [mean] = recordsOf(sizesChart('x', points, 1).data.means ?? {});
    assert.equal(mean?.subsets, 252);
  });

  it('thin long trainings where nobody sees it', () => {
    const points = Array.from({ length: 1000 }, (_, i) => ({ epoch: i + 1, value: i < 500 ? i : 500 }));
    const shown = recordsOf(epochChart('x', 'y', [{ mode: 'a', points }], true).data.epochs ?? {});
    assert.deepEqual(
      shown.map(({ epoch }) => epoch),
      [1, 501, 1000],
    );
  });

  it('put modes in their own order into matrices, whatever pair stands first', async () => {
    const share = [0, 1, 2].map((a) => [0, 1, 2].map((b) => (a === b ? 1 : 0.5)));
    const book = await ChartBook.open();
    const chart = agreementChart('x', { set: 's', modes: ['b', EVIL, 'a'], share }, 0);
    const { html } = await book.draw(chart, 'label');
    const axes = [...html.matchAll(/<g class="mark-text role-axis-label"[^]*?<\/g>/g)].map(([axis]) =>
      [...axis.matchAll(/<text[^>]*>(.*?)<\/text>/g)].map(([, text]) => text),
    );
    assert.equal(axes.length, 2);
    for (const [first, second, third] of axes) {
      assert.deepEqual([first, third], ['b', 'a']);
      assert.match(second ?? '', /^&lt;\/scri/);
    }
  });

  it('become pictures with colours of their own', () => {
    const svg =
      '<svg width="1"><path fill="var(--in)" stroke="currentColor"/><text>var(--in) currentColor</text></svg>';
    assert.equal(
      standalone(svg),
      '<svg width="1"><rect width="100%" height="100%" fill="#ffffff"/><path fill="#1c6cab" stroke="#1b2430"/><text>var(--in) currentColor</text></svg>',
    );
  });
});

describe('tables of the paper', () => {
  const results: Results = madeUpEvaluation({ detectors: ['msp', 'knn'], out: [EVIL, 'LSUN'] });

  it('hold modes, their mean ± std and the ensemble, and the average over sets', () => {
    const { sets, detectors } = paperTable(results);
    assert.deepEqual(sets, [EVIL, 'LSUN', 'Average']);
    const [msp] = detectors;
    assert.deepEqual(
      msp?.rows.map(({ title, kind }) => [title, kind]),
      [
        ['mode 1000', 'mode'],
        ['mode 1100', 'mode'],
        ['mode 1200', 'mode'],
        ['mean ± std', 'mean'],
        ['ensemble of 3', 'ensemble'],
      ],
    );
    const value = (row: number, column: number) => msp?.rows[row]?.cells[column]?.value as number;
    const of = (members: string, out: string) =>
      results.rows.find((row) => row.detector === 'msp' && row.members === members && row.out === out)?.fpr95 as number;
    assert.equal(value(0, 0), of('1000', EVIL));
    assert.ok(Math.abs(value(0, 4) - (of('1000', EVIL) + of('1000', 'LSUN')) / 2) < 1e-12);
    assert.ok(Math.abs(value(3, 2) - (of('1000', 'LSUN') + of('1100', 'LSUN') + of('1200', 'LSUN')) / 3) < 1e-12);
    for (const column of [0, 1, 2, 3, 4, 5]) {
      const own = [0, 1, 2, 4].map((row) => value(row, column));
      const best = column % 2 === 0 ? Math.min(...own) : Math.max(...own);
      assert.deepEqual(
        msp?.rows.map(
          ({ kind, cells }) => kind !== 'mean' && (cells[column]?.value === best) === cells[column]?.isBest,
        ),
        [true, true, true, false, true],
      );
    }
  });

  it('are LaTeX in which every row has as many cells as the head, whatever names hold', () => {
    const text = latexTables(results);
    const [, columns = ''] = /\\begin\{tabular\}\{(ll r*|l+r+)\}/.exec(text) ?? [];
    assert.equal(columns, `ll${'r'.repeat(6)}`);
    const lines = text.split('\n').filter((line) => line.endsWith('\\\\'));
    // Two heads, and five rows for each of two detectors.
    assert.equal(lines.length, 2 + 2 * 5);
    for (const line of lines.slice(1)) assert.equal(line.match(/(?<!\\)&/g)?.length, 7, line);
    assert.match(text, /\\multirow\{5\}\{\*\}\{MSP\} & mode 1000 & (\\textbf\{)?\d+\.\d\d/);
    assert.match(text, /mean \$\\pm\$ std & \d+\.\d\d\\,\{\\scriptsize\$\\pm\$\\,\d+\.\d\d\}/);
    assert.match(text, /Convention \\textquotedbl\{\}reference/);
    assert.equal(text.match(/(?<!\\)\{/g)?.length, text.match(/(?<!\\)\}/g)?.length);
    assert.equal(
      escapeLatex('a\n\n\\b{c}$&#%_~^'),
      'a \\textbackslash{}b\\{c\\}\\$\\&\\#\\%\\_\\textasciitilde{}\\textasciicircum{}',
    );
  });

  it('are a table each where they are longer than a page', () => {
    const many = latexTables(madeUpEvaluation({ modes: 10 }));
    assert.equal(many.match(/\\begin\{table\*\}/g)?.length, 7);
    assert.match(many, /\\label\{tab:ood-7\}/);
  });

  it('are Markdown in which names are text', () => {
    const text = markdownTables(results);
    assert.doesNotMatch(text, /<img|<\/script/);
    const lines = text.split('\n').filter((line) => line.startsWith('|'));
    assert.equal(lines.length, 2 * (2 + 5));
    for (const line of lines) assert.equal(line.match(/(?<!\\)\|/g)?.length, 8, line);
    assert.equal(escapeMarkdown('# a | b\n<i> `c` *d*'), '\\# a \\| b &lt;i&gt; \\`c\\` \\*d\\*');
    const report = markdownReport({ ...results, warnings: ['<b>'] }, EVIL);
    assert.match(report, /^# &lt;\/script&gt;/);
    assert.match(report, /\n- &lt;b&gt;\n/);
    assert.match(report, /\n## What the ensemble gains\n\n\| detector \| OoD set \| ensemble \| FPR95 over mean /);
    assert.doesNotMatch(report, /NaN|undefined/);
  });
});

describe('compareResults', () => {
  const a: Results = madeUpEvaluation({ detectors: ['msp', 'knn'], hasIntervals: true });
  const b: Results = {
    ...a,
    rows: a.rows
      .filter(({ detector }) => detector === 'msp')
      .map((row) => ({ ...row, fpr95: row.fpr95 - 0.05, fpr95_lo: row.fpr95 - 0.08, fpr95_hi: row.fpr95 - 0.01 })),
  };

  it('tells by how much the second is better, with an interval from both', () => {
    const { cells, onlyA, onlyB, hasIntervals } = compareResults(a, b);
    assert.deepEqual([cells.length, onlyA, onlyB, hasIntervals], [4, ['knn'], [], true]);
    const [first] = cells;
    assert.ok(Math.abs((first?.modes.difference.gain as number) - 0.05) < 1e-12);
    const { gain, lo, hi } = first?.ensembles?.difference ?? { gain: 0 };
    assert.ok(Math.abs(gain - 0.05) < 1e-12);
    const row = first?.ensembles?.a;
    // A reaches 0.02 down (less where it meets 0), B 0.04 up and 0.03 down.
    const down = Math.hypot((row?.fpr95 as number) - (row?.fpr95_lo as number), 0.04);
    const up = Math.hypot((row?.fpr95_hi as number) - (row?.fpr95 as number), 0.03);
    assert.ok(Math.abs((lo as number) - (0.05 - down)) < 1e-12 && Math.abs((hi as number) - (0.05 + up)) < 1e-12);
    // The other way round, the other way round.
    const back = compareResults(b, a).cells[0]?.ensembles?.difference;
    assert.ok(Math.abs((back?.lo as number) + (hi as number)) < 1e-12);
    const text = formatComparison(compareResults(a, b), a, ['one', 'two']);
    assert.match(text, /^MSP, FPR95 % .*\nSVHN .* \+5\.00 .* \+5\.00 \[/);
    assert.match(text, /\nA: one; B: two\..*\nOnly in A: knn\.\nIn brackets: .*independently\.\nIn CIFAR-10; /);
  });

  it('has no intervals where one of the runs has none, and refuses what cannot be compared', () => {
    const { intervals: _, ...plain } = b;
    assert.equal(compareResults(a, plain).cells[0]?.ensembles?.difference.lo, undefined);
    assert.throws(() => compareResults(a, { ...b, in: 'shapes' }), /in-distribution sets differ, CIFAR-10 and shapes/);
    assert.throws(() => compareResults(a, { ...b, convention: 'knn' }), /conventions differ, reference and knn/);
    assert.throws(() => compareResults(a, { ...b, out: ['x'] }), /no detector and OoD set in common/);
  });
});

describe('what stands in a page', () => {
  it('cannot end its element', () => {
    const text = embeddableJson({ name: EVIL, line: '\u2028' });
    assert.doesNotMatch(text, /<|\u2028/);
    assert.deepEqual(JSON.parse(text), { name: EVIL, line: '\u2028' });
  });

  it('takes an interpreter that imports from vega-util alone', () => {
    const made = interpreterScript(
      "import { ascending, isString as text } from 'vega-util';\nconst x = ascending;\nexport { x as y, x };\n//# sourceMappingURL=a.map",
    );
    assert.equal(
      made,
      '{\nconst { ascending, isString: text } = vega;\nconst x = ascending;\nObject.assign(vega, { y: x, x: x });\n}',
    );
    assert.throws(() => interpreterScript("import x from 'other';"), /vega-interpreter is of another form/);
  });

  it('shows pictures as images and their words as text', () => {
    const svg = Buffer.from('<svg onload="x()"/>');
    const { html } = figuresSection({
      id: 'landscape',
      title: 'T',
      figures: [{ file: 'a.svg', title: EVIL, caption: '', svg }],
    });
    assert.match(html, /<img src="data:image\/svg\+xml;base64,PHN2ZyBvbmxvYWQ9IngoKSIvPg==" alt="&lt;\/script&gt;/);
    assert.doesNotMatch(html, /onload|<\/script/);
    assert.equal(figuresSection({ id: 'x', title: 'x', figures: [] }).html, '');
  });
});
