import type { ChartBook } from '../charts/book.js';
import { epochChart } from '../charts/epochs.js';
import { type Html, html } from '../html.js';
import { figure, numberCell } from './cells.js';

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

const CHARTS = [
  { field: 'accuracy', title: 'Test accuracy', axis: 'test accuracy, %', fromZero: false },
  { field: 'loss', title: 'Training loss', axis: 'training loss', fromZero: true },
] as const;

export async function trainingSection(modes: readonly ModeEpochs[], book: ChartBook): Promise<Html> {
  const trained = modes.filter(({ epochs }) => epochs.length > 0);
  if (trained.length === 0) return html``;
  const figures: Html[] = [];
  for (const { field, title, axis, fromZero } of CHARTS) {
    const lines = trained.map(({ mode, epochs }) => ({
      mode,
      points: epochs.map((point) => ({ epoch: point.epoch, value: point[field] })),
    }));
    const chart = epochChart(`training-${field}`, axis, lines, fromZero);
    figures.push(figure(title, 'one line a mode', await book.draw(chart, `${title} over epochs`)));
  }
  const timed = trained.some(({ epochs }) => epochs.some(({ seconds }) => seconds !== undefined));
  return html`<h2 id="training">Training</h2>
<div class="charts">${figures}</div>
<div class="scroll"><table class="sortable"><thead><tr><th>mode</th><th>epochs</th><th>last loss</th><th>last test accuracy, %</th>${timed ? html`<th>time, s</th>` : undefined}</tr></thead>
<tbody>${trained.map(({ mode, epochs }) => {
    const last = epochs.at(-1);
    const seconds = epochs.reduce((sum, point) => sum + (point.seconds ?? 0), 0);
    return html`<tr><td>${mode}</td>${numberCell(epochs.length, String(epochs.length))}${numberCell(last?.loss, last?.loss.toFixed(4))}${numberCell(last?.accuracy, last?.accuracy.toFixed(2))}${timed ? numberCell(seconds, seconds.toFixed(0)) : undefined}</tr>
`;
  })}</tbody></table></div>`;
}
