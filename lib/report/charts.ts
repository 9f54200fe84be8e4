import type { TopLevelSpec } from 'vega-lite';
import type { Histogram } from './histogram.js';

const WIDTH = 210;
const HEIGHT = 110;
/** Ticks of the shares' axis; those that would touch another are left out. */
const SHARES = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0];

/** Colours come from the page's style sheet, so that one SVG serves light, dark and paper. */
const CONFIG = {
  // The page describes each chart in words; marks one by one would be noise to a screen reader.
  aria: false,
  background: 'transparent',
  font: 'system-ui, sans-serif',
  view: { stroke: 'transparent' },
  axis: {
    labelColor: 'currentColor',
    titleColor: 'currentColor',
    domainColor: 'currentColor',
    tickColor: 'currentColor',
    gridColor: 'currentColor',
    gridOpacity: 0.12,
    labelFontSize: 11,
    titleFontSize: 11,
    titleFontWeight: 'normal',
  },
};

/**
 * Score histogram of InD (filled, solid) and OoD (dashed), as SVG. The axis of shares is a square root:
 * detectors whose scores saturate put nearly all images into one bin, and the few in the others separate the sets.
 *
 * @param top the largest share on the axis, the same for charts that are to be compared
 * @param threshold score at which a dotted line stands
 */
export function histogramChart(data: Histogram, top: number, threshold: number): Promise<string> {
  const steps = (shares: readonly number[]) =>
    data.edges.map((score, i) => ({ score, share: shares[Math.min(i, shares.length - 1)] as number }));
  const [low, high] = [data.edges[0] as number, data.edges.at(-1) as number];
  const x = {
    field: 'score',
    type: 'quantitative',
    scale: { domain: [low, high], nice: false, zero: false },
    axis: { title: 'score', grid: false, tickCount: 4 },
  };
  const y = {
    field: 'share',
    type: 'quantitative',
    stack: null,
    scale: { type: 'sqrt', domain: [0, top], nice: false },
    axis: { title: 'share of images', values: shareTicks(top), format: '.0%' },
  };
  return toSvg({
    width: WIDTH,
    height: HEIGHT,
    layer: [
      {
        data: { values: steps(data.in) },
        mark: {
          type: 'area',
          interpolate: 'step-after',
          color: 'var(--in)',
          fillOpacity: 0.35,
          line: { color: 'var(--in)', strokeWidth: 1.25 },
        },
        encoding: { x, y },
      },
      {
        data: { values: steps(data.out) },
        mark: { type: 'line', interpolate: 'step-after', color: 'var(--out)', strokeWidth: 1.75, strokeDash: [5, 2.5] },
        encoding: { x, y },
      },
      {
        data: { values: [{ score: Math.min(high, Math.max(low, threshold)) }] },
        mark: { type: 'rule', color: 'currentColor', strokeDash: [2, 2] },
        encoding: { x },
      },
    ],
  });
}

/** A thin line for each mode over the epochs, as SVG. */
export function epochChart(
  title: string,
  modes: readonly { epoch: number; value: number }[][],
  fromZero: boolean,
): Promise<string> {
  const values = modes.flatMap((points, mode) => points.map((point) => ({ ...point, mode })));
  return toSvg({
    width: WIDTH,
    height: HEIGHT,
    data: { values },
    mark: {
      type: 'line',
      color: 'var(--in)',
      strokeWidth: 1.25,
      strokeOpacity: 0.75,
      point: modes.some((m) => m.length === 1),
    },
    encoding: {
      x: {
        field: 'epoch',
        type: 'quantitative',
        scale: { nice: false, zero: false },
        axis: { tickMinStep: 1, tickCount: 6, format: 'd', grid: false },
      },
      y: {
        field: 'value',
        type: 'quantitative',
        scale: { zero: fromZero },
        axis: { title, tickCount: 5 },
      },
      detail: { field: 'mode', type: 'nominal' },
    },
  });
}

/** From the top down, at least 15 px apart. */
function shareTicks(top: number): number[] {
  const place = (share: number) => HEIGHT * Math.sqrt(share / top);
  const ticks: number[] = [];
  for (const share of SHARES) {
    const last = ticks.at(-1);
    if (share <= top && (last === undefined || place(last) - place(share) >= 15)) ticks.push(share);
  }
  return ticks;
}

/** Vega is loaded only where a chart is drawn: it takes a good part of a second. */
async function toSvg(spec: object): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  const compiled = vegaLite.compile({ ...spec, config: CONFIG } as unknown as TopLevelSpec).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
