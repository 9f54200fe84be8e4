import { titleOf } from '../../detectors/index.js';
import { describeConvention, summarize } from '../../metrics/index.js';
import type { Results } from '../../run/types.js';
import type { ChartBook } from '../charts/book.js';
import { type SizePoint, sizesChart } from '../charts/sizes.js';
import { type Columns, MOST_ENSEMBLES, sizeOf } from '../columns.js';
import { type Html, html, trusted } from '../html.js';
import { percent } from '../numbers.js';
import { figure, numberCell } from './cells.js';

/** Where there are many ensembles: FPR95 by the number of members, averaged over OoD sets. */
export async function sizesSection(evaluation: Results, columns: Columns, book: ChartBook): Promise<Html> {
  if (columns.all <= MOST_ENSEMBLES) return html``;
  const detectors = [...new Set(evaluation.rows.map(({ detector }) => detector))];
  const points = pointsOf(evaluation);
  const sizes = [...new Set([...points.values()].flat().map(({ size }) => size))].sort((a, b) => a - b);
  const top = Math.max(...[...points.values()].flat().map(({ fpr95 }) => fpr95));
  const figures: Html[] = [];
  for (const detector of detectors) {
    const chart = sizesChart(`sizes-${detector}`, points.get(detector) ?? [], top);
    const label = `FPR95 of ${titleOf(detector)} by the number of members: every subset, and the mean of each size`;
    figures.push(figure(titleOf(detector), undefined, await book.draw(chart, label)));
  }
  const valuesOf = (detector: string, size: number) =>
    (points.get(detector) ?? []).filter((point) => point.size === size).map(({ fpr95 }) => fpr95);
  const cell = (detector: string, size: number) => {
    const { mean, min, max } = summarize(valuesOf(detector, size));
    return numberCell(mean, html`${percent(mean)} <span class="soft">${percent(min)}–${percent(max)}</span>`);
  };
  return html`<h2 id="sizes">FPR95 by number of members</h2>
<div class="legend"><span>${SUBSET}a mode or an ensemble</span><span>${MEAN}mean of its size</span></div>
<div class="charts">${figures}</div>
<div class="scroll"><table class="sortable"><thead><tr><th>members</th><th>subsets</th>${detectors.map((name) => html`<th>${titleOf(name)}</th>`)}</tr></thead>
<tbody>${sizes.map(
    (
      size,
    ) => html`<tr><td>${size}</td><td>${valuesOf(detectors[0] ?? '', size).length}</td>${detectors.map((name) => cell(name, size))}</tr>
`,
  )}</tbody></table></div>
<p class="soft">Mean over OoD sets, in percent: mean over the subsets of that size, and lowest–highest. Each ensemble has its rows in results.csv;
${describeConvention(evaluation.convention)}.</p>`;
}

/** FPR95 of each subset, averaged over OoD sets, by detector. */
function pointsOf({ rows, out }: Results): Map<string, SizePoint[]> {
  const points = new Map<string, Map<string, SizePoint>>();
  for (const { detector, members, fpr95 } of rows) {
    const own = points.get(detector) ?? new Map<string, SizePoint>();
    const before = own.get(members)?.fpr95 ?? 0;
    own.set(members, { members, size: sizeOf(members), fpr95: before + fpr95 / out.length });
    points.set(detector, own);
  }
  return new Map([...points].map(([detector, own]) => [detector, [...own.values()]]));
}

const swatch = (shapes: string) => trusted(`<svg viewBox="0 0 32 16" aria-hidden="true">${shapes}</svg>`);
const SUBSET = swatch('<circle cx="16" cy="8" r="3" fill="none" stroke="var(--in)"/>');
const MEAN = swatch(
  '<path d="M0 8h32" stroke="var(--out)" stroke-width="1.75"/><path d="M12.5 4.5h7v7h-7z" fill="var(--out)"/>',
);
