import { thin } from '../thin.js';
import { type Chart, hover, nominal, quantitative, tableOf, textTip, WIDTH, whenAt } from './chart.js';

export interface EpochLine {
  mode: string;
  points: readonly { epoch: number; value: number }[];
}

const HEIGHT = 150;
/** Solid, then dashes and dots that differ at a glance; more modes begin again. */
const DASHES = [
  [1, 0],
  [6, 2],
  [2, 2],
  [8, 2, 2, 2],
  [10, 4],
  [4, 4],
  [1, 3],
  [12, 2, 2, 2, 2, 2],
];
/** Of the axis: a third of a pixel. */
const TOLERANCE = 2e-3;

/** A line for each mode over the epochs, told apart by its dashes. */
export function epochChart(name: string, title: string, lines: readonly EpochLine[], fromZero: boolean): Chart {
  const rows = lines.flatMap(({ mode, points }) =>
    kept(points).map(({ epoch, value }) => [mode, epoch, Number(value.toPrecision(6))] as const),
  );
  const modes = lines.map(({ mode }) => mode);
  const hasPoints = lines.some(({ points }) => points.length === 1);
  return {
    name,
    data: { epochs: tableOf(['mode', 'epoch', 'value'], rows) },
    spec: (isLive) => spec(isLive, title, fromZero, modes, hasPoints),
  };
}

/** Long trainings lose the epochs that lie on the line through their neighbours. */
function kept(points: EpochLine['points']): EpochLine['points'] {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last || points.length < 100) return points;
  const values = points.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = points.map(({ epoch }) => (epoch - first.epoch) / Math.max(1, last.epoch - first.epoch));
  const y = values.map((value) => (value - low) / (high > low ? high - low : 1));
  return thin(x, y, TOLERANCE).map((i) => points[i] as { epoch: number; value: number });
}

function spec(isLive: boolean, title: string, fromZero: boolean, modes: readonly string[], hasPoints: boolean): object {
  const x = quantitative('epoch', {
    scale: { nice: false, zero: false },
    axis: { tickMinStep: 1, tickCount: 6, format: 'd', grid: false },
  });
  const y = quantitative('value', { scale: { zero: fromZero }, axis: { title, tickCount: 5 } });
  const dash = {
    field: 'mode',
    type: 'nominal',
    scale: { domain: modes, range: modes.map((_, i) => DASHES[i % DASHES.length]) },
    legend: modes.length > 1 ? { title: 'mode', orient: 'bottom', columns: 4, symbolSize: 300 } : null,
  };
  const line = {
    mark: { type: 'line', color: 'var(--in)', point: hasPoints ? { color: 'var(--in)' } : false },
    encoding: { x, y, strokeDash: dash, strokeWidth: whenAt(isLive, 3, 1.25) },
  };
  const answering = {
    params: [hover(['mode'], true)],
    mark: { type: 'point', filled: true, color: 'currentColor' },
    encoding: {
      ...{ x, y, opacity: { value: 0 } },
      tooltip: [textTip('mode', 'mode'), textTip('epoch', 'epoch'), quantitative('value', { title, format: '.5~g' })],
    },
  };
  return { width: WIDTH, height: HEIGHT, data: { name: 'epochs' }, layer: [line, ...(isLive ? [answering] : [])] };
}
