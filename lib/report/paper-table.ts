/** The layout of the paper's tables, as data: for each detector its modes, their mean ± std and the ensemble; FPR95 and AUROC. */
import { titleOf } from '../detectors/index.js';
import { summarize } from '../metrics/index.js';
import type { Results } from '../run/types.js';
import { columnsOf, ensembleTitle } from './columns.js';
import { largestEnsemble } from './summary.js';

/** Fractions. */
export interface PaperCell {
  value: number;
  /** Sample standard deviation over modes, in the row that has one. */
  std?: number | undefined;
  /** The best mode or ensemble of its detector and column. */
  isBest: boolean;
}

export interface PaperRow {
  title: string;
  kind: 'mode' | 'mean' | 'ensemble';
  /** FPR95 and AUROC of each set, and last those of the average over sets. // [2 · sets] */
  cells: PaperCell[];
}

export interface PaperTable {
  /** The OoD sets, and `Average` where there are several. */
  sets: string[];
  detectors: { title: string; rows: PaperRow[] }[];
}

export const PAPER_METRICS = [
  { name: 'fpr95', title: 'FPR95', better: 'lower' },
  { name: 'auroc', title: 'AUROC', better: 'higher' },
] as const;

/** Ensembles beyond the report's columns are left out, see columnsOf. */
export function paperTable(evaluation: Results): PaperTable {
  const columns = columnsOf(evaluation, largestEnsemble(evaluation));
  const { out } = evaluation;
  const values = new Map(
    evaluation.rows.map((row) => [JSON.stringify([row.detector, row.out, row.members]), row] as const),
  );
  const sets = out.length > 1 ? [...out, 'Average'] : [...out];
  const detectors = [...new Set(evaluation.rows.map(({ detector }) => detector))].map((detector) => {
    const numbers = (members: string) => {
      const each = out.map((set) => {
        const row = values.get(JSON.stringify([detector, set, members]));
        return PAPER_METRICS.map(({ name }) => row?.[name] ?? Number.NaN);
      });
      const average = PAPER_METRICS.map((_, i) => summarize(each.map((pair) => pair[i] as number)).mean);
      return [...each, ...(out.length > 1 ? [average] : [])].flat(); // [2 · sets]
    };
    const modes = columns.modes.map((members) => ({
      title: `mode ${members}`,
      kind: 'mode' as const,
      own: numbers(members),
    }));
    const ensembles = columns.ensembles.map((members) => ({
      title: ensembleTitle(members, columns),
      kind: 'ensemble' as const,
      own: numbers(members),
    }));
    const compared = [...modes, ...ensembles];
    const best = (column: number) => {
      const all = compared.map(({ own }) => own[column] as number);
      return PAPER_METRICS[column % 2]?.better === 'lower' ? Math.min(...all) : Math.max(...all);
    };
    const row = ({ title, kind, own }: (typeof compared)[number]): PaperRow => ({
      title,
      kind,
      cells: own.map((value, i) => ({ value, isBest: compared.length > 1 && value === best(i) })),
    });
    const spread = (): PaperRow => ({
      title: 'mean ± std',
      kind: 'mean',
      cells: sets.flatMap((_, set) =>
        PAPER_METRICS.map((_metric, i) => {
          const { mean, std } = summarize(modes.map(({ own }) => own[2 * set + i] as number));
          return { value: mean, std: std ?? undefined, isBest: false };
        }),
      ),
    });
    const rows = [...modes.map(row), ...(modes.length > 1 ? [spread()] : []), ...ensembles.map(row)];
    return { title: titleOf(detector), rows };
  });
  return { sets, detectors };
}
