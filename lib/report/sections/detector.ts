import { detectorOf, titleOf } from '../../detectors/index.js';
import { FUSION_WORDS } from '../../ensemble/index.js';
import { CONVENTIONS, type ConventionName, describeConvention, summarize } from '../../metrics/index.js';
import type { ResultRow, Results } from '../../run/types.js';
import type { ChartBook } from '../charts/book.js';
import { histogramChart } from '../charts/histogram.js';
import { rocChart } from '../charts/roc.js';
import { type Columns, ensembleTitle } from '../columns.js';
import type { Curves } from '../curves.js';
import { type Html, html, trusted } from '../html.js';
import { between, GAIN_MEANING, lowestToHighest, meanAndStd, percent, points } from '../numbers.js';
import { METRICS, type Metric, type ResultSummary, summarizeRows } from '../summary.js';
import { figure, intervalNote, marked, numberCell, soft } from './cells.js';

/** One detector: what it is, its table over all metrics, its charts. */
export async function detectorSection(
  evaluation: Results,
  name: string,
  columns: Columns,
  curves: Curves,
  book: ChartBook,
): Promise<Html> {
  const title = titleOf(name);
  const rows = evaluation.rows.filter((row) => row.detector === name);
  return html`<section>
<h2 id="${name}">${title}</h2>
<p class="soft">${fusionSentence(evaluation, name, columns)}</p>
${resultTable(evaluation, rows, title, columns)}
${gainTable(evaluation, name, columns)}
${await rocCharts(evaluation, name, curves, book)}
${await histogramCharts(evaluation, rows, name, columns, curves, book)}
</section>`;
}

/** How a mode is scored, and an ensemble where that is another way. */
function fusionSentence({ fusion }: Results, name: string, { all }: Columns): string {
  const rule = detectorOf(name).fusion;
  if (fusion === 'paper' || all === 0) return `One mode or an ensemble: ${rule}.`;
  return `One mode: ${rule}. An ensemble: ${FUSION_WORDS[fusion]}.`;
}

/** What is compared first stands first, since a table of many modes is wider than a screen: ensembles, spread, modes. */
function resultTable(evaluation: Results, rows: readonly ResultRow[], title: string, columns: Columns): Html {
  const { modes, ensembles } = columns;
  const several = modes.length > 1;
  const width = 1 + modes.length + ensembles.length + (several ? 2 : 0);
  const line = (
    metric: Metric,
    label: string,
    value: (members: string) => number,
    kind: string,
    interval: (members: string) => string = () => '',
  ) => {
    const own = modes.map(value);
    const fused = ensembles.map(value);
    const best = metric.better === 'lower' ? Math.min(...own, ...fused) : Math.max(...own, ...fused);
    const cell = (members: string) => {
      const number = value(members);
      return numberCell(number, html`${marked(number, number === best && width > 2)}${soft(interval(members))}`);
    };
    const spread = [
      numberCell(summarize(own).mean, meanAndStd(own), 'spread'),
      numberCell(summarize(own).min, lowestToHighest(own), 'spread'),
    ];
    return html`<tr class="${kind}"><td>${label}</td>${ensembles.map(cell)}${several ? spread : undefined}${modes.map(cell)}</tr>
`;
  };
  const body = METRICS.map((metric) => {
    const rowOf = (out: string, members: string) => rows.find((row) => row.out === out && row.members === members);
    const value = (out: string) => (members: string) => rowOf(out, members)?.[metric.name] ?? Number.NaN;
    const interval = (out: string) => (members: string) => {
      const row = rowOf(out, members);
      return between(row?.[`${metric.name}_lo`], row?.[`${metric.name}_hi`]);
    };
    const mean = (members: string) => summarize(evaluation.out.map((out) => value(out)(members))).mean;
    return html`<tbody><tr class="group fixed"><th colspan="${width}" scope="rowgroup">${metric.title} % <span class="soft">(${metric.better} is better)</span></th></tr>
${evaluation.out.map((out) => line(metric, out, value(out), 'set', interval(out)))}${
  evaluation.out.length > 1 ? line(metric, 'mean over sets', mean, 'mean fixed') : undefined
}</tbody>`;
  });
  return html`<div class="scroll"><table class="sortable">
<thead><tr><th>${title}</th>${ensembles.map((members) => html`<th>${ensembleTitle(members, columns)}</th>`)}${
    several ? html`<th>mean ± std<br>over modes</th><th>min–max<br>over modes</th>` : undefined
  }${modes.map((mode) => html`<th>mode ${mode}</th>`)}</tr></thead>
${body}</table></div>
<p class="soft">★ best of the row. In percent; ${describeConvention(evaluation.convention)}.${intervalNote(evaluation)}</p>`;
}

/** Each ensemble that is shown against the mean and the best of its own modes, all metrics. */
function gainTable(evaluation: Results, detector: string, columns: Columns): Html {
  const { ensembles } = columns;
  if (ensembles.length === 0) return html``;
  const summaries = summarizeRows(evaluation).filter((summary) => summary.detector === detector);
  const cells = (summary: ResultSummary, members: string) => {
    const found = summary.ensembles.find((ensemble) => ensemble.members === members);
    const cell = (against: 'over_mean' | 'over_best', { name }: Metric) =>
      numberCell(found?.[against][name].gain, found && points(found[against][name]));
    return METRICS.map((metric) => [cell('over_mean', metric), cell('over_best', metric)]);
  };
  const body = ensembles.map((members) => {
    const title = html`<tr class="group fixed"><th colspan="${1 + 2 * METRICS.length}" scope="rowgroup">${ensembleTitle(members, columns)}</th></tr>
`;
    return html`<tbody>${title}${summaries.map(
      (summary) => html`<tr><td>${summary.out}</td>${cells(summary, members)}</tr>
`,
    )}</tbody>`;
  });
  const heads = METRICS.map(({ title }) => html`<th>${title}<br>over mean</th><th>${title}<br>over best</th>`);
  return html`<h3>What the ensemble gains</h3>
<div class="scroll"><table class="sortable">
<thead><tr><th>points</th>${heads}</tr></thead>
${body}</table></div>
<p class="soft">In percentage points; ${GAIN_MEANING}, which may be another mode for each metric and set.${intervalNote(evaluation)}</p>`;
}

async function rocCharts(evaluation: Results, detector: string, curves: Curves, book: ChartBook): Promise<Html> {
  const own = curves.roc.filter((curve) => curve.detector === detector);
  if (own.length === 0) return html``;
  const title = titleOf(detector);
  const { positive } = CONVENTIONS[evaluation.convention as ConventionName] ?? CONVENTIONS.reference;
  const hasEnsemble = own.some(({ kind }) => kind === 'ensemble');
  const figures: Html[] = [];
  for (const out of evaluation.out) {
    const ofSet = own.filter((curve) => curve.out === out);
    const chart = rocChart(`roc-${detector}-${out}`, ofSet, positive);
    const label = `ROC curves of ${title}: ${evaluation.in} against ${out}; ${hasEnsemble ? 'the ensemble and ' : ''}each mode`;
    figures.push(figure(out, undefined, await book.draw(chart, label)));
  }
  const note =
    positive === 'in'
      ? `FPR95 is read off where a curve crosses the dotted line: 95 % of ${evaluation.in} accepted.`
      : `FPR95 is read off where a curve crosses the dotted line: 95 % of the OoD images rejected.`;
  return html`<h3>${title}, ROC curves</h3>
<div class="legend"><span>${SWATCHES.mode}a mode</span>${hasEnsemble ? html`<span>${SWATCHES.ensemble}the ensemble</span>` : undefined}<span>${SWATCHES.across}95 %</span></div>
<div class="charts">${figures}</div>
<p class="soft">${note}</p>`;
}

async function histogramCharts(
  evaluation: Results,
  rows: readonly ResultRow[],
  detector: string,
  columns: Columns,
  curves: Curves,
  book: ChartBook,
): Promise<Html> {
  const data = curves.histograms.find((one) => one.detector === detector);
  if (!data) return html``;
  const title = titleOf(detector);
  const figures: Html[] = [];
  for (const out of evaluation.out) {
    const row = rows.find((candidate) => candidate.out === out && candidate.members === data.members);
    const numbers = `FPR95 ${percent(row?.fpr95)} %, AUROC ${percent(row?.auroc)} %`;
    const label = `Histogram of ${title} scores: ${evaluation.in} against ${out}; ${numbers}`;
    const chart = histogramChart(`scores-${detector}-${out}`, data, out);
    figures.push(figure(out, numbers, await book.draw(chart, label)));
  }
  const who = columns.modes.includes(data.members) ? `mode ${data.members}` : ensembleTitle(data.members, columns);
  return html`<h3>${title} scores of the ${who}</h3>
<div class="legend">
<span>${SWATCHES.in}${evaluation.in} (in-distribution)</span><span>${SWATCHES.out}the OoD set named above each chart</span><span>${SWATCHES.line}95 % of ${evaluation.in} lie to the right</span>
</div>
<div class="charts">${figures}</div>
<p class="soft">Larger = in-distribution. Shares stand on a square-root axis, the same in all charts of a detector; the lowest and
highest 0.5 % of a set's scores count in the outermost bins.</p>`;
}

const swatch = (shapes: string) => trusted(`<svg viewBox="0 0 32 16" aria-hidden="true">${shapes}</svg>`);
const SWATCHES = {
  in: swatch(
    '<path d="M0 15V8h10V2h10v8h12v5z" fill="var(--in)" fill-opacity=".35"/><path d="M0 8h10V2h10v8h12" fill="none" stroke="var(--in)" stroke-width="1.25"/>',
  ),
  out: swatch(
    '<path d="M0 10h8V5h10v6h14" fill="none" stroke="var(--out)" stroke-width="1.75" stroke-dasharray="5 2.5"/>',
  ),
  line: swatch('<path d="M16 0v16" stroke="currentColor" stroke-dasharray="2 2"/>'),
  across: swatch('<path d="M0 8h32" stroke="currentColor" stroke-dasharray="2 2"/>'),
  mode: swatch('<path d="M0 14Q4 3 32 2" fill="none" stroke="var(--in)" stroke-opacity=".65"/>'),
  ensemble: swatch('<path d="M0 14Q4 3 32 2" fill="none" stroke="var(--out)" stroke-width="2.25"/>'),
};
