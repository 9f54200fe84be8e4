/** What the report's tables are put together from. */

import type { Results } from '../../run/types.js';
import { type Html, html } from '../html.js';
import { describeIntervals, percent } from '../numbers.js';

/** A number in percent, with a star and in bold where it is the best of its row: neither needs colour. */
export function marked(value: number | undefined, best: boolean): Html {
  return best ? html`<strong title="best">★ ${percent(value)}</strong>` : html`${percent(value)}`;
}

/** An interval beside its number; nothing where there is none. */
export function soft(text: string): Html | undefined {
  return text === '' ? undefined : html`<span class="soft">${text}</span>`;
}

/** A cell that is sorted by its number, not by its text. */
export function numberCell(value: number | undefined, content: Html | string | undefined, kind?: string): Html {
  const sorted = value === undefined || Number.isNaN(value) ? undefined : html` data-value="${value}"`;
  const name = kind === undefined ? undefined : html` class="${kind}"`;
  return html`<td${name}${sorted}>${content}</td>`;
}

export function intervalNote({ intervals }: Pick<Results, 'intervals'>): string {
  return intervals ? ` In brackets: ${describeIntervals(intervals)}.` : '';
}

export function figure(title: string, note: string | undefined, chart: Html): Html {
  const small = note === undefined ? undefined : html` <span class="soft">${note}</span>`;
  return html`<figure><figcaption>${title}${small}</figcaption>
${chart}</figure>
`;
}
