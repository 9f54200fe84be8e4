import { type Chart, hover, nominal, quantitative, shareTip, tableOf, textTip, WIDTH, whenAt } from './chart.js';

/** One mode or ensemble with one detector. */
export interface StripPoint {
  /** The detector's title. */
  detector: string;
  kind: 'mode' | 'ensemble';
  members: string;
  /** Fraction. */
  fpr95: number;
}

const STEP = 22;

/** FPR95 of every mode (rings), their mean (bar) and the ensemble (filled diamond), a row for each detector. */
export function stripChart(name: string, points: readonly StripPoint[]): Chart {
  const rows = points.map(({ detector, kind, members, fpr95 }) => [detector, kind, members, fpr95] as const);
  return { name, data: { points: tableOf(['detector', 'kind', 'members', 'fpr95'], rows) }, spec };
}

function spec(isLive: boolean): object {
  const x = quantitative('fpr95', {
    scale: { domain: [0, 1], nice: false },
    axis: { title: 'FPR95', format: '.0%', values: [0, 0.25, 0.5, 0.75, 1] },
  });
  const y = nominal('detector', { axis: { title: null, domain: false, ticks: false, labelPadding: 8 } });
  const tooltip = [
    textTip('detector', 'detector'),
    textTip('kind', 'kind'),
    textTip('members', 'members'),
    shareTip('fpr95', 'FPR95'),
  ];
  const of = (kind: StripPoint['kind'], mark: object, more: object = {}) => ({
    transform: [{ filter: `datum.kind === '${kind}'` }],
    mark: { type: 'point', ...mark },
    encoding: { x, y, ...(isLive ? { tooltip } : {}), ...more },
    ...(isLive && kind === 'mode' ? { params: [hover(['members'])] } : {}),
  });
  return {
    width: WIDTH,
    height: { step: STEP },
    data: { name: 'points' },
    layer: [
      {
        transform: [
          { filter: "datum.kind === 'mode'" },
          { aggregate: [{ op: 'mean', field: 'fpr95', as: 'fpr95' }], groupby: ['detector'] },
        ],
        mark: { type: 'tick', color: 'currentColor', thickness: 2, size: 16 },
        encoding: { x, y },
      },
      of('mode', { shape: 'circle', color: 'var(--in)', size: 36 }, { strokeWidth: whenAt(isLive, 3, 1.25) }),
      of('ensemble', {
        shape: 'diamond',
        filled: true,
        color: 'var(--out)',
        size: 90,
        opacity: 1,
        stroke: 'var(--page)',
      }),
    ],
  };
}
