import { titleOf } from '../detectors/index.js';
import { describeConvention } from '../metrics/index.js';
import type { Results } from '../run/types.js';
import { MOST_ENSEMBLES } from './columns.js';
import { describeIntervals, GAIN_MEANING, lowestToHighest, meanAndStd, percent, points } from './numbers.js';
import { PAPER_METRICS, type PaperCell, paperTable } from './paper-table.js';
import { largestEnsemble, METRICS, summarizeRows } from './summary.js';
import { fusionNote } from './tables.js';
import { describeResults } from './words.js';

/** The report as Markdown (with GitHub's tables): what it says in words, and every table that holds results. */
export function markdownReport(evaluation: Results, title: string): string {
  const { warnings, intervals } = evaluation;
  const parts = [
    `# ${escapeMarkdown(title)}`,
    escapeMarkdown(describeResults(evaluation)),
    ...(warnings.length > 0 ? [warnings.map((warning) => `- ${escapeMarkdown(warning)}`).join('\n')] : []),
    accuracyTable(evaluation),
    markdownTables(evaluation),
    gainTables(evaluation),
    escapeMarkdown(
      `In percent; ${describeConvention(evaluation.convention)}.${fusionNote(evaluation)}${
        intervals ? ` In brackets: ${describeIntervals(intervals)}.` : ''
      }`,
    ),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

/** The paper's layout, one table a detector. */
export function markdownTables(evaluation: Results): string {
  const { sets, detectors } = paperTable(evaluation);
  const heads = sets.flatMap((set) => PAPER_METRICS.map(({ title }) => `${escapeMarkdown(set)} ${title}`));
  const tables = detectors.map(({ title, rows }) => {
    const lines = rows.map(({ title: name, cells }) => [escapeMarkdown(name), ...cells.map(cellText)]);
    return `## ${escapeMarkdown(title)}\n\n${tableOf(['', ...heads], lines)}`;
  });
  return tables.join('\n\n');
}

function cellText({ value, std, isBest }: PaperCell): string {
  const text = std === undefined ? percent(value) : `${percent(value)} ± ${percent(std)}`;
  return isBest ? `**${text}**` : text;
}

function accuracyTable({ accuracy, in: inName }: Pick<Results, 'accuracy' | 'in'>): string {
  if (accuracy.length === 0) return '';
  const names = (['top1', 'top5'] as const).filter((name) => accuracy.some((row) => row[name] !== undefined));
  const modes = accuracy.filter(({ kind }) => kind === 'mode');
  const ensembles = accuracy.filter(({ kind }) => kind === 'ensemble');
  const line = ({ kind, members, ...row }: (typeof accuracy)[number]) => [
    escapeMarkdown(`${kind} ${members}`),
    ...names.map((name) => percent(row[name])),
  ];
  const spread = (title: string, tell: (values: readonly number[]) => string) => [
    title,
    ...names.map((name) => tell(modes.map((row) => row[name] ?? Number.NaN))),
  ];
  const ofModes = modes.length > 1 ? [spread('mean ± std', meanAndStd), spread('min–max', lowestToHighest)] : [];
  const head = ['', ...names.map((name) => name.replace('top', 'top-'))];
  return `## Accuracy on ${escapeMarkdown(inName)}\n\n${tableOf(head, [...modes.map(line), ...ofModes, ...ensembles.map(line)])}`;
}

/** The ensembles of the report's columns (see columnsOf); with intervals, where there are some. */
function gainTables(evaluation: Results): string {
  const largest = largestEnsemble(evaluation);
  const lines = summarizeRows(evaluation).flatMap(({ detector, out, ensembles }) => {
    const isShown = ({ members }: { members: string }) => ensembles.length <= MOST_ENSEMBLES || members === largest;
    return ensembles
      .filter(isShown)
      .map(({ members, over_mean, over_best }) => [
        ...[titleOf(detector), out, members].map(escapeMarkdown),
        ...METRICS.filter(({ name }) => name === 'fpr95' || name === 'auroc').flatMap(({ name }) => [
          points(over_mean[name]),
          points(over_best[name]),
        ]),
      ]);
  });
  if (lines.length === 0) return '';
  const heads = ['detector', 'OoD set', 'ensemble', 'FPR95 over mean', 'over best', 'AUROC over mean', 'over best'];
  return `## What the ensemble gains\n\n${tableOf(heads, lines, 3)}\n\nIn percentage points; ${GAIN_MEANING}.`;
}

/** @param texts how many columns stand to the left */
export function tableOf(head: readonly string[], lines: readonly (readonly string[])[], texts = 1): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const marks = head.map((_, i) => (i < texts ? '---' : '---:'));
  return [row(head), row(marks), ...lines.map(row)].join('\n');
}

/** Text on one line that is nothing but text: no markup, no HTML, no end of a cell. */
export function escapeMarkdown(text: string): string {
  const plain = text.replace(/\s+/g, ' ').replace(/[\\`*_[\]|~]/g, (character) => `\\${character}`);
  return plain
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/^([#+-]|\d+\.)/, '\\$1');
}
