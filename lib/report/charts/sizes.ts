import { type Chart, nominal, quantitative, shareTip, tableOf, textTip, WIDTH } from './chart.js';

/** One subset of the modes with one detector. */
export interface SizePoint {
  members: string;
  size: number;
  /** Mean over OoD sets, a fraction. */
  fpr95: number;
}

/** More subsets of one size than this are drawn by evenly spaced ranks, the lowest and the highest among them. */
const MOST_OF_A_SIZE = 60;
const HEIGHT = 130;

/** FPR95 of every subset over its number of members (rings), and the mean of each size (squares on a line). */
export function sizesChart(name: string, points: readonly SizePoint[], top: number): Chart {
  const sizes = [...new Set(points.map(({ size }) => size))].sort((a, b) => a - b);
  const groups = sizes.map((size) => points.filter((point) => point.size === size));
  const rows = groups.flatMap((group) =>
    ranked(group).map(({ members, size, fpr95 }) => [members, size, digits(fpr95)] as const),
  );
  const means = groups.map((group) => {
    const values = group.map(({ fpr95 }) => fpr95);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return [group[0]?.size ?? 0, digits(mean), Math.min(...values), Math.max(...values), group.length] as const;
  });
  return {
    name,
    data: {
      subsets: tableOf(['members', 'size', 'fpr95'], rows),
      means: tableOf(['size', 'fpr95', 'lowest', 'highest', 'subsets'], means),
    },
    spec: (isLive) => spec(isLive, sizes, top),
  };
}

function ranked(group: readonly SizePoint[]): SizePoint[] {
  if (group.length <= MOST_OF_A_SIZE) return [...group];
  const sorted = [...group].sort((a, b) => a.fpr95 - b.fpr95);
  const rank = (i: number) => Math.round((i * (sorted.length - 1)) / (MOST_OF_A_SIZE - 1));
  return Array.from({ length: MOST_OF_A_SIZE }, (_, i) => sorted[rank(i)] as SizePoint);
}

function digits(value: number): number {
  return Number(value.toFixed(6));
}

function spec(isLive: boolean, sizes: readonly number[], top: number): object {
  const last = sizes.at(-1) ?? 1;
  const x = quantitative('size', {
    scale: { domain: [0.5, last + 0.5], nice: false, zero: false },
    axis: { title: 'members', grid: false, format: 'd', values: last > 12 ? undefined : sizes, tickMinStep: 1 },
  });
  const y = quantitative('fpr95', {
    scale: { domain: [0, top], nice: true },
    axis: { title: 'FPR95', format: '.0%', tickCount: 5 },
  });
  const tips = (list: object[]) => (isLive ? { tooltip: list } : {});
  return {
    width: WIDTH,
    height: HEIGHT,
    layer: [
      {
        data: { name: 'subsets' },
        mark: { type: 'point', shape: 'circle', color: 'var(--in)', size: 22, strokeWidth: 1, strokeOpacity: 0.6 },
        encoding: {
          x,
          y,
          detail: nominal('members'),
          ...tips([textTip('members', 'members'), shareTip('fpr95', 'FPR95')]),
        },
      },
      {
        data: { name: 'means' },
        mark: { type: 'line', color: 'var(--out)', strokeWidth: 1.75 },
        encoding: { x, y },
      },
      {
        data: { name: 'means' },
        mark: { type: 'point', shape: 'square', filled: true, color: 'var(--out)', size: 40, opacity: 1 },
        encoding: {
          ...{ x, y },
          ...tips([
            textTip('size', 'members'),
            textTip('subsets', 'subsets'),
            shareTip('fpr95', 'mean FPR95'),
            shareTip('lowest', 'lowest'),
            shareTip('highest', 'highest'),
          ]),
        },
      },
    ],
  };
}
