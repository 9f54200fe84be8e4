import { titleOf } from '../../detectors/index.js';
import type { Agreement, Results } from '../../run/types.js';
import { agreementChart } from '../charts/agreement.js';
import type { ChartBook } from '../charts/book.js';
import type { Curves } from '../curves.js';
import { type Html, html } from '../html.js';
import { percent } from '../numbers.js';
import { pairsOf } from '../pairs.js';
import { figure, numberCell } from './cells.js';

/** How often modes say the same: the class of an image, and whether it is in or out. */
export async function agreementSection(evaluation: Results, curves: Curves, book: ChartBook): Promise<Html> {
  const classes = await classMatrices(evaluation, curves, book);
  const decisions = decisionTable(evaluation, curves);
  if (!classes && !decisions) return html``;
  return html`<h2 id="agreement">Agreement between modes</h2>
${classes}
${decisions}`;
}

async function classMatrices({ in: inName }: Results, { classes }: Curves, book: ChartBook): Promise<Html | undefined> {
  if (classes.length === 0) return undefined;
  const lowest = Math.floor(20 * Math.min(...classes.flatMap(pairsOf))) / 20;
  const figures: Html[] = [];
  for (const one of classes) {
    const mean = `${percent(meanOf(one))} % on average`;
    const label = `Share of ${one.set} on which each pair of modes names the same class; ${mean}`;
    const title = one.set === inName ? `${one.set} (in-distribution)` : one.set;
    figures.push(figure(title, mean, await book.draw(agreementChart(`agreement-${one.set}`, one, lowest), label)));
  }
  return html`<h3>The same class</h3>
<div class="charts">${figures}</div>
<p class="soft">Percent of a set's images for which two modes name the same class; the stronger the shade, the more. Shades begin at ${Math.round(100 * lowest)} % in all matrices.</p>`;
}

function decisionTable(evaluation: Results, { decisions }: Curves): Html | undefined {
  const detectors = [...new Set(decisions.map(({ detector }) => detector))];
  if (detectors.length === 0) return undefined;
  const sets = [evaluation.in, ...evaluation.out];
  const cell = (detector: string, set: string) => {
    const found = decisions.find((one) => one.detector === detector && one.set === set);
    if (!found) return html`<td></td>`;
    const mean = meanOf(found);
    return numberCell(mean, html`${percent(mean)} <span class="soft">${percent(Math.min(...pairsOf(found)))}</span>`);
  };
  return html`<h3>The same decision</h3>
<div class="scroll"><table class="sortable"><thead><tr><th>percent</th>${sets.map((set) => html`<th>${set}</th>`)}</tr></thead>
<tbody>${detectors.map(
    (detector) => html`<tr><td>${titleOf(detector)}</td>${sets.map((set) => cell(detector, set))}</tr>
`,
  )}</tbody></table></div>
<p class="soft">Percent of images that two modes both accept or both reject, each at the score that 95 % of ${evaluation.in} reach: mean over pairs, and the pair that agrees least.</p>`;
}

function meanOf(one: Agreement): number {
  const pairs = pairsOf(one);
  return pairs.reduce((sum, share) => sum + share, 0) / pairs.length;
}
