/** Draws charts: a still SVG for each, and for the page what it takes to make them answer to the pointer. */
import type { Spec, ValuesData } from 'vega';
import type { TopLevelSpec } from 'vega-lite';
import { type Html, html, trusted } from '../html.js';
import { standalone } from '../palette.js';
import { type Chart, CONFIG, recordsOf, type Table } from './chart.js';

/** What the page's script reads: each chart is one of the specifications with data of its own. */
export interface LiveCharts {
  specs: object[];
  charts: { name: string; spec: number; data: Readonly<Record<string, Table>> }[];
}

/** A picture that needs no page: colours and background are in it. */
export interface Picture {
  name: string;
  /** What it shows, in words. */
  label: string;
  svg: string;
}

type Vega = typeof import('vega');
type VegaLite = typeof import('vega-lite');

export class ChartBook {
  readonly live: LiveCharts = { specs: [], charts: [] };
  readonly pictures: Picture[] = [];
  /** Compiled specifications by their Vega-Lite text: charts of one kind are compiled once. */
  private readonly compiled = new Map<string, Spec>();
  private readonly places = new Map<string, number>();
  private readonly names = new Set<string>();

  private constructor(
    private readonly vega: Vega,
    private readonly vegaLite: VegaLite,
  ) {}

  /** Vega is loaded only where charts are drawn: it takes a good part of a second. */
  static async open(): Promise<ChartBook> {
    const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
    return new ChartBook(vega, vegaLite);
  }

  /**
   * Draws a chart and remembers it.
   *
   * @param label what it shows, for those who cannot see it
   */
  async draw(chart: Chart, label: string): Promise<Html> {
    const name = this.nameOf(chart.name);
    const svg = await this.still(chart);
    this.pictures.push({ name, label, svg: standalone(svg) });
    const place = this.live.charts.push({ name, spec: this.placeOf(chart), data: chart.data }) - 1;
    return html`<div class="chart" role="img" aria-label="${label}" data-chart="${place}">${trusted(svg)}</div>`;
  }

  private async still(chart: Chart): Promise<string> {
    const spec = this.compile(chart.spec(false));
    const data = spec.data?.map((source) => {
      const table = Object.hasOwn(chart.data, source.name) ? chart.data[source.name] : undefined;
      return table ? ({ ...source, values: recordsOf(table) } as ValuesData) : source;
    });
    const view = new this.vega.View(this.vega.parse({ ...spec, ...(data ? { data } : {}) }), { renderer: 'none' });
    try {
      return shortened(await view.toSVG());
    } finally {
      view.finalize();
    }
  }

  private placeOf(chart: Chart): number {
    const lite = chart.spec(true);
    const key = JSON.stringify(lite);
    const place = this.places.get(key) ?? this.live.specs.push(this.compile(lite)) - 1;
    this.places.set(key, place);
    return place;
  }

  private compile(lite: object): Spec {
    const key = JSON.stringify(lite);
    const found = this.compiled.get(key) ?? compileQuietly(this.vegaLite, { ...lite, config: CONFIG });
    this.compiled.set(key, found);
    return found;
  }

  /** Names that fall together are told apart by a number. */
  private nameOf(wanted: string): string {
    let name = wanted;
    for (let i = 2; this.names.has(name); i++) name = `${wanted}-${i}`;
    this.names.add(name);
    return name;
  }
}

function compileQuietly(vegaLite: VegaLite, lite: object): Spec {
  // Vega-Lite warns of a point selection in a layer where all is as it should be.
  const logger = {
    level: () => logger,
    error: () => logger,
    warn: () => logger,
    info: () => logger,
    debug: () => logger,
  };
  return vegaLite.compile(lite as TopLevelSpec, { logger: logger as never }).spec as Spec;
}

/** Paths with a tenth of a pixel: thousands of points stand in a page, and nobody sees more of them. */
function shortened(svg: string): string {
  return svg.replace(/ d="([^"]*)"/g, (_, path: string) => {
    const digits = path.replace(/-?\d+\.\d+/g, (number) => String(Number(Number(number).toFixed(1))));
    return ` d="${digits}"`;
  });
}
