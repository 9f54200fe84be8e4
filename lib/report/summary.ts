import { MEMBER_SEPARATOR } from '../ensemble/index.js';
import { type Summary, summarize } from '../metrics/index.js';
import type { Evaluation, ResultRow } from '../run/types.js';

export type MetricName = 'auroc' | 'aupr_in' | 'aupr_out' | 'fpr95';

export interface Metric {
  name: MetricName;
  title: string;
  /** Which values are good. */
  better: 'lower' | 'higher';
}

export const METRICS: readonly Metric[] = [
  { name: 'fpr95', title: 'FPR95', better: 'lower' },
  { name: 'auroc', title: 'AUROC', better: 'higher' },
  { name: 'aupr_in', title: 'AUPR-in', better: 'higher' },
  { name: 'aupr_out', title: 'AUPR-out', better: 'higher' },
];

/** One ensemble beside its own modes. Fractions. */
export interface EnsembleSummary extends Record<MetricName, number> {
  members: string;
  /** Mean FPR95 of the ensemble's own modes minus its FPR95: above 0, the ensemble is better than its average mode. */
  gain_fpr95: number;
}

/** One OoD set and detector over modes and ensembles. Fractions. */
export interface ResultSummary {
  out: string;
  detector: string;
  modes: Record<MetricName, Summary>;
  ensembles: EnsembleSummary[];
}

/** The spread over modes and the gain of each ensemble, for each OoD set × detector, in the order of the rows. */
export function summarizeRows(rows: readonly ResultRow[]): ResultSummary[] {
  const groups = new Map<string, ResultRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.out, row.detector]);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups.values()].map((group) => {
    const { out, detector } = group[0] as ResultRow;
    const modes = group.filter(({ kind }) => kind === 'mode');
    const ensembles = group.filter(({ kind }) => kind === 'ensemble');
    return {
      out,
      detector,
      modes: {
        auroc: spread(modes, 'auroc'),
        aupr_in: spread(modes, 'aupr_in'),
        aupr_out: spread(modes, 'aupr_out'),
        fpr95: spread(modes, 'fpr95'),
      },
      ensembles: ensembles.map(({ members, auroc, aupr_in, aupr_out, fpr95 }) => {
        const names = members.split(MEMBER_SEPARATOR);
        const own = modes.filter((mode) => names.includes(mode.members));
        const gain_fpr95 = spread(own, 'fpr95').mean - fpr95;
        return { members, auroc, aupr_in, aupr_out, fpr95, gain_fpr95 };
      }),
    };
  });
}

function spread(rows: readonly ResultRow[], metric: MetricName): Summary {
  return summarize(rows.map((row) => row[metric]));
}

/** The ensemble with the most members, the first of them where several have as many; undefined where there is none. */
export function largestEnsemble(evaluation: Pick<Evaluation, 'rows'>): string | undefined {
  let best: string | undefined;
  let size = 0;
  for (const { kind, members } of evaluation.rows) {
    const count = members.split(MEMBER_SEPARATOR).length;
    if (kind === 'ensemble' && count > size) [best, size] = [members, count];
  }
  return best;
}
