import type { RocCurve } from '../curves.js';
import { type Chart, hover, nominal, quantitative, shareTip, tableOf, textTip, WIDTH, whenAt } from './chart.js';

/**
 * ROC curves of one detector and OoD set: a thin line for each mode, a thick one for the ensemble. The dotted line stands where
 * FPR95 is read off: at 95 % of the positive class, which is another side in each convention.
 */
export function rocChart(name: string, curves: readonly RocCurve[], positive: 'in' | 'out'): Chart {
  const rows = curves.flatMap(({ kind, members, fpr, tpr }) =>
    fpr.map((x, i) => [members, kind, digits(x), digits(tpr[i] as number)] as const),
  );
  return {
    name,
    data: { curves: tableOf(['members', 'kind', 'fpr', 'tpr'], rows) },
    spec: (isLive) => spec(isLive, positive),
  };
}

/** A ten-thousandth of the axis is a fiftieth of a pixel. */
function digits(share: number): number {
  return Number(share.toFixed(4));
}

function spec(isLive: boolean, positive: 'in' | 'out'): object {
  const axis = { format: '.0%', values: [0, 0.25, 0.5, 0.75, 1] };
  const scale = { domain: [0, 1], nice: false };
  const across = { scale, axis: { ...axis, title: 'OoD images accepted' } };
  const up = { scale, axis: { ...axis, title: 'InD images accepted' } };
  const [x, y] = [quantitative('fpr', across), quantitative('tpr', up)];
  const at = (datum: number, channel: object) => ({ datum, type: 'quantitative', ...channel });
  const lines = (kind: RocCurve['kind'], mark: object, width: number, opacity: number) => ({
    transform: [{ filter: `datum.kind === '${kind}'` }],
    mark: { type: 'line', ...mark },
    encoding: {
      ...{ x, y, detail: nominal('members'), order: { value: null } },
      strokeWidth: whenAt(isLive, 2.5, width),
      strokeOpacity: whenAt(isLive, 1, opacity),
    },
  });
  const answering = {
    params: [hover(['members'], true)],
    mark: { type: 'point', filled: true, size: 30, color: 'currentColor' },
    encoding: {
      ...{ x, y, opacity: { value: 0 } },
      tooltip: [
        textTip('kind', 'kind'),
        textTip('members', 'members'),
        shareTip('fpr', 'OoD accepted'),
        shareTip('tpr', 'InD accepted'),
      ],
    },
  };
  return {
    width: WIDTH,
    height: WIDTH,
    data: { name: 'curves' },
    layer: [
      {
        data: { values: [{}] },
        mark: { type: 'rule', color: 'currentColor', strokeDash: [2, 2] },
        encoding: positive === 'in' ? { y: at(0.95, up) } : { x: at(0.05, across) },
      },
      lines('mode', { color: 'var(--in)' }, 1, 0.65),
      lines('ensemble', { color: 'var(--out)' }, 2.25, 1),
      ...(isLive ? [answering] : []),
    ],
  };
}
