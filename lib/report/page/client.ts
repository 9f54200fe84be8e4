/**
 * What runs in the report itself. It is compiled like everything else, and its text becomes part of the page
 * (lib/report/runtime.ts), so it imports nothing but types. Without it the page is whole, but still.
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import type { Table } from '../charts/chart.js';

interface LivePage {
  specs: object[];
  charts: { name: string; spec: number; data: Record<string, Table> }[];
}

interface VegaView {
  runAsync(): Promise<VegaView>;
  tooltip(show: (handler: unknown, event: MouseEvent, item: unknown, value: unknown) => void): VegaView;
}

/** The few things of Vega's bundle that are called here. */
declare const vega: {
  View: new (runtime: unknown, options: object) => VegaView;
  parse(spec: object, config: undefined, options: { ast: true }): unknown;
  expressionInterpreter: unknown;
};

const page = JSON.parse(document.getElementById('charts')?.textContent ?? 'null') as LivePage | null;

/** Colours as the page has them now, for pictures that leave it. */
function coloursOf(svg: string): string {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return svg
    .replace(/="var\(--(\w+)\)"/g, (_, name: string) => `="${value(name)}"`)
    .replaceAll('="currentColor"', `="${value('ink')}"`)
    .replace(/^(<svg[^>]*>)/, `$1<rect width="100%" height="100%" fill="${value('page')}"/>`);
}

function themes(): void {
  const button = document.getElementById('theme');
  if (!(button instanceof HTMLButtonElement)) return;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : dark.matches);
  const tell = () => {
    button.textContent = isDark() ? 'Light colours' : 'Dark colours';
  };
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    tell();
  });
  dark.addEventListener('change', tell);
  button.hidden = false;
  tell();
}

/** A click on a head sorts the rows of each group; what sums them up (`fixed`) stays where it is. */
function sorting(): void {
  for (const table of document.querySelectorAll<HTMLTableElement>('table.sortable')) {
    const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
    for (const [column, head] of heads.entries()) {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.replaceChildren(button);
      button.addEventListener('click', () => {
        const isUp = head.getAttribute('aria-sort') !== 'ascending';
        for (const other of heads) other.removeAttribute('aria-sort');
        head.setAttribute('aria-sort', isUp ? 'ascending' : 'descending');
        for (const body of table.tBodies) sortRows(body, column, isUp ? 1 : -1);
      });
    }
  }
}

function sortRows(body: HTMLTableSectionElement, column: number, sign: 1 | -1): void {
  const rows = [...body.rows].filter((row) => !row.classList.contains('fixed'));
  const value = (row: HTMLTableRowElement) => row.cells[column]?.dataset.value;
  const text = (row: HTMLTableRowElement) => row.cells[column]?.textContent?.trim() ?? '';
  const order = (a: HTMLTableRowElement, b: HTMLTableRowElement) => {
    const [x, y] = [Number(value(a) ?? Number.NaN), Number(value(b) ?? Number.NaN)];
    if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    // What has no number stands last, whichever way the others are sorted.
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? sign : -sign;
    return text(a).localeCompare(text(b), undefined, { numeric: true });
  };
  const places = rows.map((row) => row.sectionRowIndex);
  const sorted = [...rows].sort((a, b) => sign * order(a, b));
  const all = [...body.rows];
  for (const [i, place] of places.entries()) all[place] = sorted[i] as HTMLTableRowElement;
  body.append(...all);
}

const tip = document.createElement('div');
tip.className = 'tip';
tip.hidden = true;

/** Vega's values are text from the run: they become text nodes and nothing else. */
function showTip(_handler: unknown, event: MouseEvent, _item: unknown, value: unknown): void {
  if (value === null || value === undefined || value === '') {
    tip.hidden = true;
    return;
  }
  const entries = typeof value === 'object' ? Object.entries(value) : [['', value]];
  const lines = entries.map(([name, text]) => {
    const line = document.createElement('div');
    const label = document.createElement('span');
    label.textContent = String(name);
    line.append(label, ` ${String(text)}`);
    return line;
  });
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const { clientWidth, clientHeight } = document.documentElement;
  const [x, y] = [event.clientX + 14, event.clientY + 14];
  tip.style.left = `${Math.max(4, Math.min(x, clientWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, y + tip.offsetHeight > clientHeight ? event.clientY - tip.offsetHeight - 10 : y)}px`;
}

/** As recordsOf of charts/chart.ts, which cannot be imported here. */
function recordsOf(table: Table): Record<string, string | number | undefined>[] {
  const columns = Object.entries(table).map(([field, column]) => {
    const values = 'runs' in column ? column.runs.flatMap(([word, rows]) => Array<string>(rows).fill(word)) : column;
    return [field, values] as const;
  });
  const length = columns[0]?.[1].length ?? 0;
  return Array.from({ length }, (_, i) => Object.fromEntries(columns.map(([field, values]) => [field, values[i]])));
}

/** A still picture becomes one that answers, drawn over the same place. */
async function bringToLife(holder: HTMLElement): Promise<void> {
  const chart = page?.charts[Number(holder.dataset.chart)];
  const spec = chart && (page?.specs[chart.spec] as { data?: { name: string }[] } | undefined);
  if (!chart || !spec) return;
  const data = spec.data?.map((source) => {
    const table = Object.hasOwn(chart.data, source.name) ? chart.data[source.name] : undefined;
    return table ? { ...source, values: recordsOf(table) } : source;
  });
  const refuse = () => Promise.reject(new Error('A report loads nothing.'));
  const place = document.createElement('div');
  const view = new vega.View(vega.parse({ ...spec, data }, undefined, { ast: true }), {
    expr: vega.expressionInterpreter,
    loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse },
    renderer: 'svg',
    container: place,
    hover: true,
  });
  view.tooltip(showTip);
  await view.runAsync();
  const svg = place.querySelector('svg');
  if (!svg) return;
  holder.replaceChildren(place);
  holder.classList.add('live');
}

/** Charts come to life as they are scrolled to, one after another, so that the page opens at once. */
function enliven(): void {
  const waiting: HTMLElement[] = [];
  let isBusy = false;
  const work = async () => {
    if (isBusy) return;
    isBusy = true;
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      await bringToLife(next);
      await new Promise((done) => setTimeout(done));
    }
    isBusy = false;
  };
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        waiting.push(target as HTMLElement);
      }
      void work();
    },
    { rootMargin: '200px' },
  );
  for (const holder of document.querySelectorAll('[data-chart]')) observer.observe(holder);
}

/** Buttons below each chart that save it as it is seen. */
function saving(): void {
  for (const holder of document.querySelectorAll<HTMLElement>('[data-chart]')) {
    const buttons = document.createElement('div');
    buttons.className = 'save';
    for (const [kind, save] of Object.entries({ SVG: saveSvg, PNG: savePng })) {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = kind;
      button.title = `Save this chart as ${kind}`;
      button.addEventListener('click', () => save(holder));
      buttons.append(button);
    }
    holder.after(buttons);
  }
}

function pictureOf(holder: HTMLElement): { name: string; url: string; svg: SVGSVGElement } | undefined {
  const svg = holder.querySelector('svg');
  if (!svg) return undefined;
  const text = coloursOf(new XMLSerializer().serializeToString(svg));
  const url = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  return { name: page?.charts[Number(holder.dataset.chart)]?.name ?? 'chart', url, svg };
}

function download(url: string, name: string): void {
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
}

function saveSvg(holder: HTMLElement): void {
  const picture = pictureOf(holder);
  if (picture) download(picture.url, `${picture.name}.svg`);
}

/** Four times the size, which is enough for print. */
function savePng(holder: HTMLElement): void {
  const picture = pictureOf(holder);
  if (!picture) return;
  const { width, height } = picture.svg.viewBox.baseVal;
  const image = new Image(width * 4, height * 4);
  image.addEventListener('load', () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [width * 4, height * 4];
    canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
    download(canvas.toDataURL('image/png'), `${picture.name}.png`);
  });
  image.src = picture.url;
}

document.body.append(tip);
themes();
sorting();
if (page) {
  saving();
  enliven();
}
