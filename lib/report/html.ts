/** Text as HTML, safe in elements and in quoted attributes. */
export function escapeHtml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  // Control characters are not allowed in HTML, and lone surrogates not in UTF-8.
  const clean = text.replace(/\p{Surrogate}/gu, '\ufffd').replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/g, '\ufffd');
  return clean.replace(/[&<>"']/g, (character) => names[character] as string);
}

/** HTML that is already escaped; only `html` makes it. */
export interface Html {
  readonly html: string;
}

type Piece = string | number | Html | undefined | readonly Piece[];

/** Template tag: every value is escaped unless it is Html itself; lists are joined, undefined is left out. */
export function html(strings: TemplateStringsArray, ...values: Piece[]): Html {
  return { html: strings.map((text, i) => text + (i < values.length ? render(values[i]) : '')).join('') };
}

/** Markup that was made elsewhere and is known to be safe. */
export function trusted(markup: string): Html {
  return { html: markup };
}

function render(value: Piece): string {
  if (value === undefined) return '';
  if (typeof value === 'string' || typeof value === 'number') return escapeHtml(String(value));
  if ('html' in value) return value.html;
  return value.map(render).join('');
}
