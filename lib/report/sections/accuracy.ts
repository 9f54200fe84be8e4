import { summarize } from '../../metrics/index.js';
import type { AccuracyRow, Results } from '../../run/types.js';
import { type Columns, ensembleTitle } from '../columns.js';
import { type Html, html } from '../html.js';
import { between, lowestToHighest, meanAndStd } from '../numbers.js';
import { marked, numberCell, soft } from './cells.js';

export function accuracySection({ accuracy, in: inName }: Results, columns: Columns): Html {
  if (accuracy.length === 0) return html``;
  const names = (['top1', 'top5'] as const).filter((name) => accuracy.some((row) => row[name] !== undefined));
  const rows = accuracy.filter(({ kind, members }) => kind === 'mode' || columns.ensembles.includes(members));
  const best = Math.max(...rows.map(({ top1 }) => top1));
  const modes = accuracy.filter(({ kind }) => kind === 'mode');
  const cell = (row: AccuracyRow, name: 'top1' | 'top5') =>
    numberCell(
      row[name],
      html`${marked(row[name], name === 'top1' && row.top1 === best && rows.length > 1)}${soft(between(row[`${name}_lo`], row[`${name}_hi`]))}`,
    );
  const summary = (title: string, tell: (values: readonly number[]) => string) =>
    html`<tr class="fixed"><td>${title}</td>${names.map((name) => {
      const values = modes.map((row) => row[name] ?? Number.NaN);
      return numberCell(summarize(values).mean, tell(values), 'spread');
    })}<td></td></tr>
`;
  return html`<h2 id="accuracy">Accuracy on ${inName}</h2>
<div class="scroll"><table class="sortable">
<thead><tr><th>percent</th>${names.map((name) => html`<th>${name.replace('top', 'top-')}</th>`)}<th>images</th></tr></thead>
<tbody>${rows.map(
    (
      row,
    ) => html`<tr><td>${row.kind === 'mode' ? `mode ${row.members}` : ensembleTitle(row.members, columns)}</td>${names.map((name) => cell(row, name))}<td>${row.n}</td></tr>
`,
  )}${
    modes.length > 1
      ? [summary('mean ± std over modes', meanAndStd), summary('min–max over modes', lowestToHighest)]
      : undefined
  }</tbody></table></div>`;
}
