import type { Agreement } from '../../run/types.js';
import { type Chart, hover, nominal, quantitative, shareTip, tableOf, textTip, WIDTH, whenAt } from './chart.js';

/** Sides of cells below which numbers would touch. */
const SMALLEST_CELL = 15;

/**
 * A matrix of modes × modes: how often two of them say the same, in percent in each cell, and the darker the oftener.
 *
 * @param lowest where the shades begin, the same for matrices that are to be compared
 */
export function agreementChart(name: string, { modes, share }: Agreement, lowest: number): Chart {
  const rows = modes.flatMap((a, i) => modes.flatMap((b, j) => (i === j ? [] : [[a, b, share[i]?.[j] ?? 0] as const])));
  const hasText = WIDTH / modes.length >= SMALLEST_CELL;
  return {
    name,
    data: { pairs: tableOf(['a', 'b', 'share'], rows) },
    spec: (isLive) => spec(isLive, lowest, hasText, modes),
  };
}

function spec(isLive: boolean, lowest: number, hasText: boolean, modes: readonly string[]): object {
  const axis = { title: null, domain: false, ticks: false, labelLimit: 70 };
  // Pairs of a mode with itself are left out, so that the order of the rows is not that of the modes.
  const order = { scale: { domain: modes } };
  const x = nominal('a', { ...order, axis: { ...axis, labelAngle: modes.length > 4 ? -60 : 0 } });
  const y = nominal('b', { ...order, axis });
  const scale = { domain: [lowest, 1], range: [0.04, 0.55], clamp: true };
  const cells = {
    ...(isLive ? { params: [hover(['a', 'b'])] } : {}),
    mark: { type: 'rect', color: 'var(--in)', stroke: 'currentColor' },
    encoding: {
      ...{ x, y, fillOpacity: quantitative('share', { scale, legend: null }) },
      strokeOpacity: whenAt(isLive, 1, 0.15),
      ...(isLive ? { tooltip: [textTip('a', 'mode'), textTip('b', 'and mode'), shareTip('share', 'the same')] } : {}),
    },
  };
  const numbers = {
    transform: [{ calculate: "format(100 * datum.share, '.0f')", as: 'text' }],
    mark: { type: 'text', fontSize: modes.length > 8 ? 9 : 11 },
    encoding: { x, y, text: nominal('text') },
  };
  return { width: WIDTH, height: WIDTH, data: { name: 'pairs' }, layer: [cells, ...(hasText ? [numbers] : [])] };
}
