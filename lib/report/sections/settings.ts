import { MEMBER_SEPARATOR } from '../../ensemble/index.js';
import { type Html, html } from '../html.js';

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

export function settingsSection(id: string, title: string, values: Readonly<Record<string, unknown>>): Html {
  const lines = flatten(values);
  if (lines.length === 0) return html``;
  return html`<h2 id="${id}">${title}</h2>
<div class="scroll"><table class="settings"><tbody>${lines.map(
    ([key, text]) => html`<tr><td>${key}</td><td>${text}</td></tr>
`,
  )}</tbody></table></div>`;
}
