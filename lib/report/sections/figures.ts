import { type Html, html } from '../html.js';

/** A picture that another command has made. */
export interface Figure {
  /** The name of its file. */
  file: string;
  title: string;
  caption: string;
  /** An SVG file's bytes. They are shown as an image: no script in them runs, and nothing is loaded. */
  svg: Uint8Array;
}

export interface FigureGroup {
  /** Part of the page's addresses, in lower case. */
  id: string;
  title: string;
  figures: readonly Figure[];
}

/** Such as the loss landscape, where it has been computed. */
export function figuresSection({ id, title, figures }: FigureGroup): Html {
  if (figures.length === 0) return html``;
  return html`<h2 id="${id}">${title}</h2>
<div class="pictures">${figures.map(
    (one) => html`<figure><figcaption>${one.title}</figcaption>
<img src="data:image/svg+xml;base64,${Buffer.from(one.svg).toString('base64')}" alt="${one.caption === '' ? one.title : one.caption}">
<p class="soft">${one.caption}</p></figure>
`,
  )}</div>`;
}
