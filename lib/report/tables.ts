import { titleOf } from '../detectors/index.js';
import { FUSION_WORDS, MEMBER_SEPARATOR } from '../ensemble/index.js';
import { describeConvention, summarize } from '../metrics/index.js';
import type { Evaluation } from '../run/types.js';
import { largestEnsemble, METRICS } from './summary.js';

/** What the terminal shows; the report has all metrics. */
const SHOWN = METRICS.filter(({ name }) => name === 'fpr95' || name === 'auroc');
/** More columns than this do not fit a terminal: modes then stand in their mean and spread only. */
const MOST_MODES = 6;

/**
 * The results as plain text for a terminal: for each detector, FPR95 and AUROC in percent, a row for each OoD set, a column
 * for each mode, mean ± std over modes, and the (largest) ensemble. Ends with the convention.
 */
export function formatTables(evaluation: Evaluation): string {
  const ensemble = largestEnsemble(evaluation);
  const detectors = [...new Set(evaluation.rows.map(({ detector }) => detector))];
  const parts = evaluation.accuracy.length > 0 ? [accuracyTable(evaluation, ensemble)] : [];
  for (const detector of detectors) {
    for (const { name, title } of SHOWN) {
      const rows = evaluation.rows.filter((row) => row.detector === detector);
      const all = [...new Set(rows.filter(({ kind }) => kind === 'mode').map(({ members }) => members))];
      const modes = all.length <= MOST_MODES ? all : [];
      const table = [[`${titleOf(detector)}, ${title} %`, ...modes, 'mean ± std', ensembleTitle(ensemble)]];
      for (const out of evaluation.out) {
        const here = rows.filter((row) => row.out === out);
        const value = (members: string | undefined) => here.find((row) => row.members === members)?.[name];
        table.push([
          out,
          ...modes.map((mode) => percent(value(mode))),
          meanAndStd(all.map((mode) => value(mode) ?? Number.NaN)),
          percent(value(ensemble)),
        ]);
      }
      parts.push(align(table));
    }
  }
  parts.push(`In ${evaluation.in}; ${describeConvention(evaluation.convention)}.${fusionNote(evaluation, ensemble)}`);
  return `${parts.join('\n\n')}\n`;
}

/** A sentence where there are ensembles and they are not fused as in the paper. */
export function fusionNote({ fusion }: Evaluation, ensemble: string | undefined): string {
  if (fusion === 'paper' || ensemble === undefined) return '';
  return ` Ensembles: ${FUSION_WORDS[fusion]} (fusion "${fusion}").`;
}

function accuracyTable({ accuracy }: Evaluation, ensemble: string | undefined): string {
  const hasTop5 = accuracy.some(({ top5 }) => top5 !== undefined);
  const table = [['Accuracy %', 'top-1', ...(hasTop5 ? ['top-5'] : [])]];
  for (const row of accuracy) {
    if (row.kind === 'ensemble' && row.members !== ensemble) continue;
    const name = row.kind === 'mode' ? row.members : ensembleTitle(ensemble);
    table.push([name, percent(row.top1), ...(hasTop5 ? [percent(row.top5)] : [])]);
  }
  return align(table);
}

function ensembleTitle(members: string | undefined): string {
  return members === undefined ? 'ensemble' : `ensemble of ${members.split(MEMBER_SEPARATOR).length}`;
}

/** A fraction in percent with two places; a dash where there is none. */
export function percent(value: number | undefined): string {
  return value === undefined ? '–' : (100 * value).toFixed(2);
}

/** `12.34 ± 0.56`, in percent; without the deviation where there is one value only. */
export function meanAndStd(values: readonly number[]): string {
  const { mean, std } = summarize(values);
  return std === null ? percent(mean) : `${percent(mean)} ± ${percent(std)}`;
}

/** First column to the left, all others to the right. */
function align(table: readonly string[][]): string {
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((row) => (row[column] ?? '').length)));
  return table
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
