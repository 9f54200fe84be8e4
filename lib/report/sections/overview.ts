import { titleOf } from '../../detectors/index.js';
import { describeConvention, type MeasureName, summarize } from '../../metrics/index.js';
import type { ResultRow, Results } from '../../run/types.js';
import type { ChartBook } from '../charts/book.js';
import { type StripPoint, stripChart } from '../charts/strip.js';
import { type Columns, ensembleTitle } from '../columns.js';
import { chartedMembers } from '../curves.js';
import { type Html, html, trusted } from '../html.js';
import { lowestToHighest, meanAndStd, points } from '../numbers.js';
import { summarizeRows } from '../summary.js';
import { figure, marked, numberCell } from './cells.js';

/** All detectors side by side: a table of averages over the OoD sets, and FPR95 of each mode on each set. */
export async function overviewSection(evaluation: Results, columns: Columns, book: ChartBook): Promise<Html> {
  return html`<h2 id="overview">All detectors</h2>
${overviewTable(evaluation, columns)}
${await strips(evaluation, columns, book)}`;
}

function overviewTable(evaluation: Results, columns: Columns): Html {
  const detectors = [...new Set(evaluation.rows.map(({ detector }) => detector))];
  const ensemble = columns.ensembles.at(-1);
  const averages = averagesOf(evaluation.rows);
  const value = (detector: string, members: string, name: MeasureName) =>
    averages.get(JSON.stringify([detector, members, name])) ?? Number.NaN;
  const several = columns.modes.length > 1;
  const gains = summarizeRows(evaluation);
  const lines = detectors.map((detector) => {
    const own = (name: MeasureName) => columns.modes.map((mode) => value(detector, mode, name));
    return {
      detector,
      fpr95: own('fpr95'),
      auroc: own('auroc'),
      fused: ensemble === undefined ? undefined : (name: MeasureName) => value(detector, ensemble, name),
    };
  });
  // The best of each column that holds single numbers; of one mode alone that is the column of the modes.
  const compared = lines.map(({ fpr95, auroc, fused }) => ({
    fpr95: fused ? fused('fpr95') : summarize(fpr95).mean,
    auroc: fused ? fused('auroc') : summarize(auroc).mean,
  }));
  const lowest = Math.min(...compared.map(({ fpr95 }) => fpr95));
  const highest = Math.max(...compared.map(({ auroc }) => auroc));
  const isMany = lines.length > 1;
  const body = lines.map(({ detector, fpr95, auroc, fused }) => {
    const modes = (values: readonly number[], isBest: boolean) =>
      numberCell(
        summarize(values).mean,
        isBest ? html`<strong title="best">★ ${meanAndStd(values)}</strong>` : meanAndStd(values),
      );
    const range = (values: readonly number[]) => numberCell(summarize(values).min, lowestToHighest(values), 'spread');
    const single = (number: number, isBest: boolean) => numberCell(number, marked(number, isBest && isMany));
    const gain = (name: 'fpr95' | 'auroc') => {
      const found = gains.filter((one) => one.detector === detector).flatMap(({ ensembles }) => ensembles);
      return summarize(found.filter(({ members }) => members === ensemble).map((one) => one.over_mean[name].gain)).mean;
    };
    const of = (name: 'fpr95' | 'auroc', values: readonly number[], best: number) => {
      const gained = fused && gain(name);
      return html`${modes(values, !fused && isMany && summarize(values).mean === best)}${several ? range(values) : undefined}${
        fused && gained !== undefined
          ? [single(fused(name), fused(name) === best), numberCell(gained, points({ gain: gained }))]
          : undefined
      }`;
    };
    return html`<tr><td><a href="#${detector}">${titleOf(detector)}</a></td>${of('fpr95', fpr95, lowest)}${of('auroc', auroc, highest)}</tr>
`;
  });
  const heads = (title: string) =>
    html`<th>${title}<br>${several ? 'mean ± std over modes' : 'the mode'}</th>${
      several ? html`<th>${title}<br>min–max over modes</th>` : undefined
    }${
      ensemble === undefined
        ? undefined
        : html`<th>${title}<br>${ensembleTitle(ensemble, columns)}</th><th>${title}<br>gain over mean</th>`
    }`;
  return html`<div class="scroll"><table class="sortable">
<thead><tr><th>detector</th>${heads('FPR95')}${heads('AUROC')}</tr></thead>
<tbody>${body}</tbody></table></div>
<p class="soft">In percent and points, averaged over ${evaluation.out.length === 1 ? 'the OoD set' : `the ${evaluation.out.length} OoD sets`}; ${isMany ? '★ best of the column; ' : ''}smaller FPR95 and larger AUROC are better; ${describeConvention(evaluation.convention)}.</p>`;
}

/** Means over OoD sets, by detector, members and metric. */
function averagesOf(rows: readonly ResultRow[]): Map<string, number> {
  const sums = new Map<string, { sum: number; n: number }>();
  for (const row of rows) {
    for (const name of ['fpr95', 'auroc'] as const) {
      const key = JSON.stringify([row.detector, row.members, name]);
      const { sum, n } = sums.get(key) ?? { sum: 0, n: 0 };
      sums.set(key, { sum: sum + row[name], n: n + 1 });
    }
  }
  return new Map([...sums].map(([key, { sum, n }]) => [key, sum / n]));
}

async function strips(evaluation: Results, columns: Columns, book: ChartBook): Promise<Html> {
  const charted = chartedMembers(evaluation);
  const figures: Html[] = [];
  for (const out of evaluation.out) {
    const points = evaluation.rows
      .filter((row) => row.out === out && (row.kind === 'mode' || row.members === charted))
      .map(({ detector, kind, members, fpr95 }): StripPoint => ({ detector: titleOf(detector), kind, members, fpr95 }));
    const label = `FPR95 of each detector on ${out}: modes, their mean${columns.all > 0 ? ' and the ensemble' : ''}`;
    figures.push(figure(out, undefined, await book.draw(stripChart(`fpr95-${out}`, points), label)));
  }
  return html`<h3>FPR95 of each mode</h3>
<div class="legend"><span>${SWATCHES.mode}a mode</span><span>${SWATCHES.mean}mean over modes</span>${
    columns.all > 0 ? html`<span>${SWATCHES.ensemble}the ensemble</span>` : undefined
  }</div>
<div class="charts wide">${figures}</div>`;
}

const swatch = (shapes: string) => trusted(`<svg viewBox="0 0 32 16" aria-hidden="true">${shapes}</svg>`);
const SWATCHES = {
  mode: swatch('<circle cx="16" cy="8" r="4" fill="none" stroke="var(--in)" stroke-width="1.25"/>'),
  mean: swatch('<path d="M16 0v16" stroke="currentColor" stroke-width="2"/>'),
  ensemble: swatch('<path d="M16 2l6 6-6 6-6-6z" fill="var(--out)"/>'),
};
