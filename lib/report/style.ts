/** The report's style sheet: light and dark, narrow screens and paper. Charts take their colours from it. */
import { DARK, LIGHT, PAPER, variables } from './palette.js';

export const STYLE = `
:root { color-scheme: light dark; ${variables(LIGHT)} }
@media (prefers-color-scheme: dark) { :root:not([data-theme="light"]) { ${variables(DARK)} } }
:root[data-theme="light"] { color-scheme: light; }
:root[data-theme="dark"] { color-scheme: dark; ${variables(DARK)} }
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem clamp(0.75rem, 3vw, 2rem) 4rem; max-width: 72rem;
  background: var(--page); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
header { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: start; justify-content: space-between; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 0.75rem; min-width: 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.5rem; border-top: 1px solid var(--line); padding-top: 1.25rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0.25rem; }
p { margin: 0.5rem 0; max-width: 46rem; }
a { color: inherit; text-decoration-color: var(--soft); text-underline-offset: 0.15em; }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; margin: 1rem 0; font-size: 0.9rem; }
button {
  font: inherit; font-size: 0.85rem; color: inherit; background: var(--band); cursor: pointer;
  border: 1px solid var(--line); border-radius: 0.3rem; padding: 0.15rem 0.6rem;
}
:focus-visible { outline: 2px solid var(--in); outline-offset: 2px; }
.lead { font-size: 1.05rem; }
.soft { color: var(--soft); font-size: 0.85rem; }
.scroll { overflow-x: auto; margin: 0.75rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--page); }
thead th { white-space: normal; border-bottom: 2px solid var(--soft); vertical-align: bottom; }
thead th button {
  font: inherit; text-align: inherit; color: inherit; background: none; border: 0; padding: 0; white-space: inherit;
}
thead th button:hover { text-decoration: underline; text-underline-offset: 0.2em; }
thead th[aria-sort] button::after { content: " ▾"; }
thead th[aria-sort="ascending"] button::after { content: " ▴"; }
tbody tr.group th { background: var(--band); color: var(--ink); text-align: left; padding-top: 0.5rem; }
tbody tr.mean > * { border-bottom: 0; font-style: italic; }
td.spread { color: var(--soft); }
td.name, table.settings td { text-align: left; }
table.settings td { white-space: normal; min-width: 12rem; }
table.settings td:first-child { white-space: nowrap; min-width: 0; color: var(--soft); position: static; }
table.settings { overflow-wrap: anywhere; }
table.settings td { padding-block: 0.15rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15.5rem), 1fr)); gap: 1rem 1.25rem; }
.charts.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17.5rem), 1fr)); }
figure { position: relative; margin: 0; min-width: 0; break-inside: avoid; }
figcaption { font-size: 0.9rem; font-weight: 600; }
figcaption .soft { display: block; font-weight: 400; }
figure svg { display: block; width: auto; height: auto; max-width: 100%; }
.pictures img { display: block; max-width: 100%; height: auto; background: #fff; }
.pictures figure { margin: 1rem 0; }
.save { position: absolute; top: 0; right: 0; display: flex; gap: 0.25rem; opacity: 0; transition: opacity 0.1s; }
figure:hover .save, .save:focus-within { opacity: 1; }
.save button { font-size: 0.7rem; padding: 0 0.4rem; }
.tip {
  position: fixed; z-index: 1; pointer-events: none; max-width: 20rem; padding: 0.3rem 0.5rem; font-size: 0.8rem;
  background: var(--band); color: var(--ink); border: 1px solid var(--soft); border-radius: 0.3rem;
}
.tip span { color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.5rem; margin: 0.75rem 0; font-size: 0.85rem; }
.legend span { display: inline-flex; align-items: center; gap: 0.5rem; }
.legend svg { width: 2rem; height: 1rem; flex: none; }
ul.warnings { border-left: 4px solid var(--out); padding: 0.5rem 0.5rem 0.5rem 1.75rem; margin: 1rem 0; }
@media print {
  :root, :root[data-theme], :root:not([data-theme="light"]) { color-scheme: light; ${variables(PAPER)} }
  body { max-width: none; padding: 0; font-size: 11px; }
  nav, button, .save, .tip { display: none; }
  thead th button { display: inline; }
  .scroll { overflow: visible; }
  h2, h3, caption { break-after: avoid; }
  tr, .legend { break-inside: avoid; }
  .legend { break-after: avoid; }
  .charts, .charts.wide { grid-template-columns: repeat(4, 1fr); gap: 0.75rem; }
  figure svg { max-width: 100%; }
  th:first-child, td:first-child { position: static; }
  table { font-size: 0.8rem; }
  th, td { padding: 0.15rem 0.35rem; }
}
`;
