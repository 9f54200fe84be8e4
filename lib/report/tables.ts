import { titleOf } from '../detectors/index.js';
import { FUSION_WORDS, MEMBER_SEPARATOR } from '../ensemble/index.js';
import { describeConvention, type MeasureName, summarize } from '../metrics/index.js';
import type { AccuracyRow, ResultRow, Results } from '../run/types.js';
import { between, describeIntervals, GAIN_MEANING, lowestToHighest, meanAndStd, percent, points } from './numbers.js';
import { type EnsembleSummary, METRICS, type ResultSummary, summarizeRows } from './summary.js';

/** What the terminal shows where nothing else is asked for; the report has all metrics. */
export const SHOWN_METRICS: readonly MeasureName[] = ['fpr95', 'auroc'];
/** Tables that would be wider lose columns. */
const WIDEST = 100;
/** More ensembles than this stand in one line of the accuracy table. */
const MOST_ENSEMBLES = 3;

/**
 * The results as plain text for a terminal: for each detector, FPR95 and AUROC in percent, a row for each OoD set; the
 * modes, their mean ± std, the largest ensembles and what they gain. Ends with the convention.
 *
 * @param metrics which, in the order of reports
 */
export function formatTables(evaluation: Results, metrics: readonly MeasureName[] = SHOWN_METRICS): string {
  const { accuracy, in: inName, convention, intervals } = evaluation;
  const largest = largestOf(evaluation.rows);
  const shown = accuracy.filter(({ kind, members }) => kind === 'mode' || largest.includes(members));
  const parts = shown.length > 0 ? [accuracyTable(shown, MOST_ENSEMBLES)] : [];
  const summaries = summarizeRows(evaluation);
  for (const detector of new Set(summaries.map((summary) => summary.detector))) {
    const own = summaries.filter((summary) => summary.detector === detector);
    const rows = evaluation.rows.filter((row) => row.detector === detector);
    for (const { name, title } of METRICS.filter((metric) => metrics.includes(metric.name))) {
      const head = `${titleOf(detector)}, ${title} %`;
      parts.push(widestThatFits(variants(head, name, own, rows, largest)));
    }
  }
  const notes = [
    ...(largest.length > 0 ? [`${GAIN_MEANING}.`] : []),
    ...(intervals ? [`In brackets: ${describeIntervals(intervals)}.`] : []),
    `In ${inName}; ${describeConvention(convention)}.${fusionNote(evaluation)}`,
  ];
  parts.push(notes.join('\n'));
  return `${parts.join('\n\n')}\n`;
}

/** A sentence where there are ensembles and they are not fused as in the paper. */
export function fusionNote({ fusion, rows }: Pick<Results, 'fusion' | 'rows'>): string {
  if (fusion === 'paper' || !rows.some(({ kind }) => kind === 'ensemble')) return '';
  return ` Ensembles: ${FUSION_WORDS[fusion]} (fusion "${fusion}").`;
}

/** One column: its head, and a cell for each OoD set. */
interface Column {
  title: string;
  cell(summary: ResultSummary): string;
}

/** The table of one detector and metric, from the one with all columns to the narrowest. */
function variants(
  head: string,
  name: MeasureName,
  summaries: readonly ResultSummary[],
  rows: readonly ResultRow[],
  largest: readonly string[],
): string[] {
  const modes = [...new Set(rows.filter(({ kind }) => kind === 'mode').map(({ members }) => members))];
  const rowOf = (out: string, members: string) => rows.find((row) => row.out === out && row.members === members);
  const value = (out: string, members: string) => rowOf(out, members)?.[name] ?? Number.NaN;
  const interval = (out: string, members: string) => {
    const row = rowOf(out, members);
    return between(row?.[`${name}_lo`], row?.[`${name}_hi`]);
  };
  const ofModes = (tell: (values: readonly number[]) => string) => (summary: ResultSummary) =>
    tell(modes.map((mode) => value(summary.out, mode)));
  const modeColumns = (isLong: boolean): Column[] =>
    modes.map((mode) => ({
      title: mode,
      cell: ({ out }) => `${percent(value(out, mode))}${isLong ? interval(out, mode) : ''}`,
    }));
  const spread: Column[] = modes.length > 1 ? [{ title: 'mean ± std', cell: ofModes(meanAndStd) }] : [];
  const range: Column[] = modes.length > 1 ? [{ title: 'min–max', cell: ofModes(lowestToHighest) }] : [];
  const ensembles = ensembleColumns(name, largest, interval);
  const choices = [
    [...modeColumns(true), ...spread, ...ensembles],
    [...modeColumns(false), ...spread, ...ensembles],
    [...spread, ...range, ...ensembles],
    [...spread, ...ensembles],
  ];
  return choices.map((columns) =>
    align([
      [head, ...columns.map(({ title }) => title)],
      ...summaries.map((summary) => [summary.out, ...columns.map(({ cell }) => cell(summary))]),
    ]),
  );
}

/** One ensemble with its interval, or the mean ± std of several; and what they gain, on average. */
function ensembleColumns(
  name: MeasureName,
  largest: readonly string[],
  interval: (out: string, members: string) => string,
): Column[] {
  const [first] = largest;
  if (first === undefined) return [];
  const shown = ({ ensembles }: ResultSummary) => ensembles.filter(({ members }) => largest.includes(members));
  const gain = (against: 'over_mean' | 'over_best') => (summary: ResultSummary) => {
    const gains = shown(summary).map((ensemble: EnsembleSummary) => ensemble[against][name]);
    const [own] = gains;
    return gains.length === 1 && own ? points(own) : points({ gain: summarize(gains.map((one) => one.gain)).mean });
  };
  const values = (summary: ResultSummary) => meanAndStd(shown(summary).map((ensemble) => ensemble[name]));
  return [
    {
      title: ensembleTitle(largest),
      cell: (summary) => `${values(summary)}${largest.length === 1 ? interval(summary.out, first) : ''}`,
    },
    { title: 'over mean', cell: gain('over_mean') },
    { title: 'over best', cell: gain('over_best') },
  ];
}

/**
 * Top-1 and, where there are six classes or more, top-5 of modes and ensembles in percent; the spread over modes stands
 * between them.
 *
 * @param most with more ensembles than this, their mean ± std alone
 */
export function accuracyTable(rows: readonly AccuracyRow[], most = Number.POSITIVE_INFINITY): string {
  const names = (['top1', 'top5'] as const).filter((name) => rows.some((row) => row[name] !== undefined));
  const line = (title: string, row: AccuracyRow) => [
    title,
    ...names.map((name) => `${percent(row[name])}${between(row[`${name}_lo`], row[`${name}_hi`])}`),
  ];
  const modes = rows.filter(({ kind }) => kind === 'mode');
  const ensembles = rows.filter(({ kind }) => kind === 'ensemble');
  const spread = (title: string, of: readonly AccuracyRow[], tell: (values: readonly number[]) => string) => [
    title,
    ...names.map((name) => tell(of.map((row) => row[name] ?? Number.NaN))),
  ];
  const members = ensembles.map((row) => row.members);
  const ofModes = [spread('mean ± std', modes, meanAndStd), spread('min–max', modes, lowestToHighest)];
  return align([
    ['Accuracy %', ...names.map((name) => name.replace('top', 'top-'))],
    ...modes.map((row) => line(row.members, row)),
    ...(modes.length > 1 ? ofModes : []),
    ...(ensembles.length > most
      ? [spread(ensembleTitle(members), ensembles, meanAndStd)]
      : ensembles.map((row) => line(ensembles.length === 1 ? ensembleTitle(members) : row.members, row))),
  ]);
}

/** The ensembles with the most members. */
function largestOf(rows: readonly ResultRow[]): string[] {
  const ensembles = [...new Set(rows.filter(({ kind }) => kind === 'ensemble').map(({ members }) => members))];
  const most = Math.max(0, ...ensembles.map(sizeOf));
  return ensembles.filter((members) => sizeOf(members) === most);
}

function ensembleTitle(members: readonly string[]): string {
  const size = sizeOf(members[0] ?? '');
  return members.length === 1 ? `ensemble of ${size}` : `${members.length} ensembles of ${size}`;
}

function sizeOf(members: string): number {
  return members.split(MEMBER_SEPARATOR).length;
}

function widestThatFits(tables: readonly string[]): string {
  const width = (table: string) => Math.max(...table.split('\n').map((line) => line.length));
  return tables.find((table) => width(table) <= WIDEST) ?? tables.at(-1) ?? '';
}

/** First column to the left, all others to the right. */
export function align(table: readonly (readonly string[])[]): string {
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
