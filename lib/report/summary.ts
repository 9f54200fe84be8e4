import { MEMBER_SEPARATOR } from '../ensemble/index.js';
import {
  BETTER,
  type Gain,
  type Interval,
  type MeasureName,
  recordOf,
  type Summary,
  summarize,
} from '../metrics/index.js';
import type { GainIntervals, ResultRow, Results } from '../run/types.js';

export interface Metric {
  name: MeasureName;
  title: string;
  /** Which values are good. */
  better: 'lower' | 'higher';
}

const TITLES: Readonly<Record<MeasureName, string>> = {
  fpr95: 'FPR95',
  auroc: 'AUROC',
  aupr_in: 'AUPR-in',
  aupr_out: 'AUPR-out',
  detection_error: 'Detection error',
};

/** In the order of reports. */
export const METRICS: readonly Metric[] = Object.entries(TITLES).map(([name, title]) => ({
  name: name as MeasureName,
  title,
  better: BETTER[name as MeasureName],
}));

/** One ensemble beside its own modes. Fractions. */
export interface EnsembleSummary extends Record<MeasureName, number> {
  members: string;
  /** Mean FPR95 of the ensemble's own modes minus its FPR95: `over_mean.fpr95.gain`. */
  gain_fpr95: number;
  /** Over the mean of its own modes. */
  over_mean: Record<MeasureName, Gain>;
  /** Over the best of its own modes, which may be another one for each metric. */
  over_best: Record<MeasureName, Gain>;
}

/** One OoD set and detector over modes and ensembles. Fractions. */
export interface ResultSummary {
  out: string;
  detector: string;
  modes: Record<MeasureName, Summary>;
  ensembles: EnsembleSummary[];
}

/** The spread over modes and the gains of each ensemble, for each OoD set × detector, in the order of the rows. */
export function summarizeRows({ rows, gains = [] }: Pick<Results, 'rows' | 'gains'>): ResultSummary[] {
  const groups = new Map<string, ResultRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.out, row.detector]);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  const intervals = new Map(gains.map((gain) => [keyOf(gain), gain]));
  return [...groups.values()].map((group) => {
    const { out, detector } = group[0] as ResultRow;
    const modes = group.filter(({ kind }) => kind === 'mode');
    const ensembles = group.filter(({ kind }) => kind === 'ensemble');
    return {
      out,
      detector,
      modes: recordOf((name) => spread(modes, name)),
      ensembles: ensembles.map((row) => summarizeEnsemble(row, modes, intervals.get(keyOf(row)))),
    };
  });
}

function keyOf({ out, detector, members }: Pick<GainIntervals, 'out' | 'detector' | 'members'>): string {
  return JSON.stringify([out, detector, members]);
}

function summarizeEnsemble(
  row: ResultRow,
  modes: readonly ResultRow[],
  intervals: GainIntervals | undefined,
): EnsembleSummary {
  const names = row.members.split(MEMBER_SEPARATOR);
  const own = modes.filter((mode) => names.includes(mode.members));
  const gain = (name: MeasureName, against: 'mean' | 'best'): Gain => {
    const { mean, min, max } = spread(own, name);
    const isLower = BETTER[name] === 'lower';
    const other = against === 'mean' ? mean : isLower ? min : max;
    return { gain: isLower ? other - row[name] : row[name] - other, ...ends(intervals?.[against][name]) };
  };
  const over_mean = recordOf((name) => gain(name, 'mean'));
  const over_best = recordOf((name) => gain(name, 'best'));
  const values = recordOf((name) => row[name]);
  return { members: row.members, ...values, gain_fpr95: over_mean.fpr95.gain, over_mean, over_best };
}

function ends(interval: Interval | undefined): Pick<Gain, 'lo' | 'hi'> {
  return interval ? { lo: interval[0], hi: interval[1] } : {};
}

function spread(rows: readonly ResultRow[], metric: MeasureName): Summary {
  return summarize(rows.map((row) => row[metric]));
}

/** The ensemble with the most members, the first of them where several have as many; undefined where there is none. */
export function largestEnsemble(evaluation: Pick<Results, 'rows'>): string | undefined {
  let best: string | undefined;
  let size = 0;
  for (const { kind, members } of evaluation.rows) {
    const count = members.split(MEMBER_SEPARATOR).length;
    if (kind === 'ensemble' && count > size) [best, size] = [members, count];
  }
  return best;
}
