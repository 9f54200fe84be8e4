import type { ScoreHistogram } from '../curves.js';
import { type Chart, hover, quantitative, shareTip, tableOf, WIDTH, whenAt } from './chart.js';

const HEIGHT = 110;
/** Ticks of the shares' axis; those that would touch another are left out. */
const SHARES = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0];

/**
 * Scores of InD (filled, solid) and OoD (dashed). The axis of shares is a square root: detectors whose scores saturate put
 * nearly all images into one bin, and the few in the others separate the sets. It is the same for all sets of a detector.
 */
export function histogramChart(name: string, data: ScoreHistogram, out: string): Chart {
  const bins = data.in.length;
  const [low, high] = data.range;
  const outShares = data.out[out] ?? [];
  const edge = (i: number) => Number((low + ((high - low) * i) / bins).toPrecision(6));
  const rows = data.in.map((share, i) => [edge(i), edge(i + 1), share, outShares[i] ?? 0]);
  const end = [edge(bins), edge(bins), data.in[bins - 1] ?? 0, outShares[bins - 1] ?? 0];
  const top = Math.max(...data.in, ...Object.values(data.out).flat());
  const threshold = Math.min(high, Math.max(low, data.threshold));
  return {
    name,
    data: { bins: tableOf(['low', 'high', 'in', 'out'], [...rows, end]) },
    spec: (isLive) => spec(isLive, [edge(0), edge(bins)], top, threshold),
  };
}

function spec(isLive: boolean, domain: [number, number], top: number, threshold: number): object {
  const x = quantitative('low', {
    scale: { domain, nice: false, zero: false },
    axis: { title: 'score', grid: false, tickCount: 4 },
  });
  const y = (field: string) =>
    quantitative(field, {
      stack: null,
      scale: { type: 'sqrt', domain: [0, top], nice: false },
      axis: { title: 'share of images', values: shareTicks(top), format: '.0%' },
    });
  const answering = {
    params: [hover(['low'])],
    transform: [{ filter: 'datum.high > datum.low' }],
    mark: { type: 'rect', color: 'currentColor' },
    encoding: {
      x,
      x2: { field: 'high' },
      opacity: whenAt(true, 0.15, 0),
      tooltip: [
        quantitative('low', { title: 'score from', format: '.4~g' }),
        quantitative('high', { title: 'to', format: '.4~g' }),
        shareTip('in', 'in-distribution'),
        shareTip('out', 'out-of-distribution'),
      ],
    },
  };
  return {
    width: WIDTH,
    height: HEIGHT,
    data: { name: 'bins' },
    layer: [
      {
        mark: {
          type: 'area',
          interpolate: 'step-after',
          color: 'var(--in)',
          fillOpacity: 0.35,
          line: { color: 'var(--in)', strokeWidth: 1.25 },
        },
        encoding: { x, y: y('in') },
      },
      {
        mark: { type: 'line', interpolate: 'step-after', color: 'var(--out)', strokeWidth: 1.75, strokeDash: [5, 2.5] },
        encoding: { x, y: y('out') },
      },
      {
        data: { values: [{ low: threshold }] },
        mark: { type: 'rule', color: 'currentColor', strokeDash: [2, 2] },
        encoding: { x },
      },
      ...(isLive ? [answering] : []),
    ],
  };
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
