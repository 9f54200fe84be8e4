import { detectorOf, titleOf } from '../detectors/index.js';
import { FUSION_WORDS, MEMBER_SEPARATOR } from '../ensemble/index.js';
import { describeConvention, summarize } from '../metrics/index.js';
import type { AccuracyRow, Evaluation, ResultRow, ScoreSet } from '../run/types.js';
import { epochChart, histogramChart } from './charts.js';
import { histogram, inThreshold, scoreRange } from './histogram.js';
import { type Html, html, trusted } from './html.js';
import { METRICS, type Metric } from './summary.js';
import { meanAndStd, percent } from './tables.js';

/** Column of one ensemble each up to here; with more, the largest alone and a table by size. */
const MOST_ENSEMBLES = 3;

/** One epoch of a mode's training, as the `epoch` event of the training job tells it. */
export interface EpochPoint {
  epoch: number;
  loss: number;
  /** Percent. */
  accuracy: number;
  seconds?: number | undefined;
}

export interface ModeEpochs {
  mode: string;
  epochs: readonly EpochPoint[];
}

/** The modes and ensembles that have a column of their own. */
export interface Columns {
  modes: string[];
  ensembles: string[];
  /** Number of all ensembles. */
  all: number;
}

export function columnsOf({ rows }: Evaluation, largest: string | undefined): Columns {
  const of = (wanted: ResultRow['kind']) => [
    ...new Set(rows.filter(({ kind }) => kind === wanted).map(({ members }) => members)),
  ];
  const [modes, ensembles] = [of('mode'), of('ensemble')];
  const shown = ensembles.length <= MOST_ENSEMBLES ? ensembles : ensembles.filter((members) => members === largest);
  return { modes, ensembles: shown, all: ensembles.length };
}

function ensembleTitle(members: string, { ensembles }: Columns): string {
  return ensembles.length === 1 ? `ensemble of ${sizeOf(members)}` : `ensemble ${members}`;
}

function sizeOf(members: string): number {
  return members.split(MEMBER_SEPARATOR).length;
}

export function accuracySection({ accuracy, in: inName }: Evaluation, columns: Columns): Html {
  if (accuracy.length === 0) return html``;
  const has5 = accuracy.some(({ top5 }) => top5 !== undefined);
  const rows = accuracy.filter(({ kind, members }) => kind === 'mode' || columns.ensembles.includes(members));
  const best = Math.max(...rows.map(({ top1 }) => top1));
  const modes = accuracy.filter(({ kind }) => kind === 'mode');
  const summary = (pick: (row: AccuracyRow) => number | undefined) =>
    meanAndStd(modes.map((row) => pick(row) ?? Number.NaN));
  return html`<h2>Accuracy on ${inName}</h2>
<div class="scroll"><table>
<thead><tr><th>percent</th><th>top-1</th>${has5 ? html`<th>top-5</th>` : undefined}<th>images</th></tr></thead>
<tbody>${rows.map(
    (row) => html`<tr><td>${row.kind === 'mode' ? `mode ${row.members}` : ensembleTitle(row.members, columns)}</td>
<td>${marked(row.top1, row.top1 === best && rows.length > 1)}</td>${has5 ? html`<td>${percent(row.top5)}</td>` : undefined}<td>${row.n}</td></tr>`,
  )}${
    modes.length > 1
      ? html`<tr><td>mean ± std over modes</td><td class="spread">${summary((row) => row.top1)}</td>${has5 ? html`<td class="spread">${summary((row) => row.top5)}</td>` : undefined}<td></td></tr>`
      : undefined
  }</tbody></table></div>`;
}

/** A number in percent, with a star and in bold where it is the best of its row: neither needs colour. */
function marked(value: number | undefined, best: boolean): Html {
  return best ? html`<strong title="best">★ ${percent(value)}</strong>` : html`${percent(value)}`;
}

/** One detector: what it is, its table over all metrics, its charts. */
export async function detectorSection(evaluation: Evaluation, name: string, columns: Columns): Promise<Html> {
  const title = titleOf(name);
  const rows = evaluation.rows.filter((row) => row.detector === name);
  return html`<h2 id="${name}">${title}</h2>
<p class="soft">${fusionSentence(evaluation, name, columns)}</p>
${resultTable(evaluation, rows, title, columns)}
${await charts(evaluation, rows, name, columns)}`;
}

/** How a mode is scored, and an ensemble where that is another way. */
function fusionSentence({ fusion }: Evaluation, name: string, { all }: Columns): string {
  const rule = detectorOf(name).fusion;
  if (fusion === 'paper' || all === 0) return `One mode or an ensemble: ${rule}.`;
  return `One mode: ${rule}. An ensemble: ${FUSION_WORDS[fusion]}.`;
}

/** What is compared first stands first, since a table of many modes is wider than a screen: ensembles, spread, modes. */
function resultTable(evaluation: Evaluation, rows: readonly ResultRow[], title: string, columns: Columns): Html {
  const { modes, ensembles } = columns;
  const several = modes.length > 1;
  const width = 1 + modes.length + ensembles.length + (several ? 2 : 0);
  const line = (metric: Metric, label: string, value: (members: string) => number, kind: string) => {
    const own = modes.map(value);
    const fused = ensembles.map(value);
    const best = metric.better === 'lower' ? Math.min(...own, ...fused) : Math.max(...own, ...fused);
    const cell = (number: number) => html`<td>${marked(number, number === best && width > 2)}</td>`;
    const { min, max } = summarize(own);
    return html`<tr class="${kind}"><td>${label}</td>${fused.map(cell)}${
      several
        ? html`<td class="spread">${meanAndStd(own)}</td><td class="spread">${percent(min)}–${percent(max)}</td>`
        : undefined
    }${own.map(cell)}</tr>
`;
  };
  const body = METRICS.map((metric) => {
    const value = (out: string) => (members: string) =>
      rows.find((row) => row.out === out && row.members === members)?.[metric.name] ?? Number.NaN;
    const mean = (members: string) => summarize(evaluation.out.map((out) => value(out)(members))).mean;
    return html`<tr class="group"><th colspan="${width}" scope="rowgroup">${metric.title} % <span class="soft">(${metric.better} is better)</span></th></tr>
${evaluation.out.map((out) => line(metric, out, value(out), 'set'))}${
  evaluation.out.length > 1 ? line(metric, 'mean over sets', mean, 'mean') : undefined
}`;
  });
  return html`<div class="scroll"><table>
<thead><tr><th>${title}</th>${ensembles.map((members) => html`<th>${ensembleTitle(members, columns)}</th>`)}${
    several ? html`<th>mean ± std<br>over modes</th><th>min–max<br>over modes</th>` : undefined
  }${modes.map((mode) => html`<th>mode ${mode}</th>`)}</tr></thead>
<tbody>${body}</tbody></table></div>
<p class="soft">★ best of the row. In percent; ${describeConvention(evaluation.convention)}.</p>`;
}

async function charts(
  evaluation: Evaluation,
  rows: readonly ResultRow[],
  detector: string,
  columns: Columns,
): Promise<Html> {
  const title = titleOf(detector);
  const members = columns.ensembles.at(-1) ?? columns.modes[0];
  const scores = evaluation.scores.find(
    (set) => set.detector === detector && set.members.join(MEMBER_SEPARATOR) === members,
  );
  if (!scores || members === undefined) return html``;
  const range = scoreRange([scores.in, ...Object.values(scores.out)]);
  const all = evaluation.out.map((out) => ({ out, data: histogram(scores.in, outScores(scores, out), range) }));
  const top = Math.max(...all.flatMap(({ data }) => [...data.in, ...data.out]));
  const threshold = inThreshold(scores.in);
  const figures: Html[] = [];
  for (const { out, data } of all) {
    const row = rows.find((candidate) => candidate.out === out && candidate.members === members);
    const numbers = `FPR95 ${percent(row?.fpr95)} %, AUROC ${percent(row?.auroc)} %`;
    const label = `Histogram of ${title} scores: ${evaluation.in} against ${out}; ${numbers}`;
    figures.push(html`<figure><figcaption>${out} <span class="soft">${numbers}</span></figcaption>
<div role="img" aria-label="${label}">${trusted(await histogramChart(data, top, threshold))}</div></figure>
`);
  }
  const who = columns.ensembles.length > 0 ? ensembleTitle(members, columns) : `mode ${members}`;
  return html`<h3>${title} scores of the ${who}</h3>
<div class="legend">
<span>${SWATCHES.in}${evaluation.in} (in-distribution)</span><span>${SWATCHES.out}the OoD set named above each chart</span><span>${SWATCHES.line}95 % of ${evaluation.in} lie to the right</span>
</div>
<div class="charts">${figures}</div>
<p class="soft">Larger = in-distribution. Shares stand on a square-root axis, the same in all charts of a detector; the lowest and
highest 0.5 % of a set's scores count in the outermost bins.</p>`;
}

function outScores(scores: ScoreSet, out: string): Float64Array {
  return scores.out[out] ?? new Float64Array(0);
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
};

/** Where there are many ensembles: FPR95 by the number of members, averaged over OoD sets. */
export function sizesSection(evaluation: Evaluation, columns: Columns): Html {
  if (columns.all <= MOST_ENSEMBLES) return html``;
  const detectors = [...new Set(evaluation.rows.map(({ detector }) => detector))];
  const subsets = [...new Set(evaluation.rows.map(({ members }) => members))];
  const sizes = [...new Set(subsets.map(sizeOf))].sort((a, b) => a - b);
  const sums = new Map<string, number>();
  for (const { detector, members, fpr95 } of evaluation.rows) {
    const key = JSON.stringify([detector, members]);
    sums.set(key, (sums.get(key) ?? 0) + fpr95 / evaluation.out.length);
  }
  const cell = (detector: string, size: number) => {
    const own = subsets.filter((members) => sizeOf(members) === size);
    const { mean, min, max } = summarize(
      own.map((members) => sums.get(JSON.stringify([detector, members])) ?? Number.NaN),
    );
    return html`<td>${percent(mean)} <span class="soft">${percent(min)}–${percent(max)}</span></td>`;
  };
  return html`<h2>FPR95 by number of members</h2>
<div class="scroll"><table><thead><tr><th>members</th><th>subsets</th>${detectors.map((name) => html`<th>${titleOf(name)}</th>`)}</tr></thead>
<tbody>${sizes.map(
    (
      size,
    ) => html`<tr><td>${size}</td><td>${subsets.filter((members) => sizeOf(members) === size).length}</td>${detectors.map((name) => cell(name, size))}</tr>
`,
  )}</tbody></table></div>
<p class="soft">Mean over OoD sets, in percent: mean over the subsets of that size, and lowest–highest. Each ensemble has its rows in results.csv;
${describeConvention(evaluation.convention)}.</p>`;
}

export async function trainingSection(modes: readonly ModeEpochs[]): Promise<Html> {
  const trained = modes.filter(({ epochs }) => epochs.length > 0);
  if (trained.length === 0) return html``;
  const curve = (pick: (point: EpochPoint) => number) =>
    trained.map(({ epochs }) => epochs.map((point) => ({ epoch: point.epoch, value: pick(point) })));
  const accuracy = await epochChart(
    'test accuracy, %',
    curve((point) => point.accuracy),
    false,
  );
  const loss = await epochChart(
    'training loss',
    curve((point) => point.loss),
    true,
  );
  const timed = trained.some(({ epochs }) => epochs.some(({ seconds }) => seconds !== undefined));
  return html`<h2>Training</h2>
<div class="charts"><figure><figcaption>Test accuracy <span class="soft">one line a mode</span></figcaption><div role="img" aria-label="Test accuracy over epochs">${trusted(accuracy)}</div></figure>
<figure><figcaption>Training loss <span class="soft">one line a mode</span></figcaption><div role="img" aria-label="Training loss over epochs">${trusted(loss)}</div></figure></div>
<div class="scroll"><table><thead><tr><th>mode</th><th>epochs</th><th>last loss</th><th>last test accuracy, %</th>${timed ? html`<th>time, s</th>` : undefined}</tr></thead>
<tbody>${trained.map(({ mode, epochs }) => {
    const last = epochs.at(-1);
    const seconds = epochs.reduce((sum, point) => sum + (point.seconds ?? 0), 0);
    return html`<tr><td>${mode}</td><td>${epochs.length}</td><td>${last?.loss.toFixed(4)}</td><td>${last?.accuracy.toFixed(2)}</td>${timed ? html`<td>${seconds.toFixed(0)}</td>` : undefined}</tr>
`;
  })}</tbody></table></div>`;
}

/** Nested values as lines `a.b` → text, in the order given. */
export function flatten(value: unknown, path = ''): [string, string][] {
  if (Array.isArray(value)) {
    if (value.some((item) => typeof item === 'object' && item !== null && !Array.isArray(item))) {
      return value.flatMap((item, index) => flatten(item, `${path}[${index}]`));
    }
    return [[path, value.map((item) => (Array.isArray(item) ? item.join(MEMBER_SEPARATOR) : String(item))).join(', ')]];
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, inner]) => flatten(inner, path === '' ? key : `${path}.${key}`));
  }
  return value === undefined ? [] : [[path, String(value)]];
}

export function settingsSection(title: string, values: Readonly<Record<string, unknown>>): Html {
  const lines = flatten(values);
  if (lines.length === 0) return html``;
  return html`<h2>${title}</h2>
<div class="scroll"><table class="settings"><tbody>${lines.map(
    ([key, text]) => html`<tr><td>${key}</td><td>${text}</td></tr>
`,
  )}</tbody></table></div>`;
}
