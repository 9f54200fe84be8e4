import { describeConvention } from '../metrics/index.js';
import type { Results } from '../run/types.js';
import { percent } from './numbers.js';
import { PAPER_METRICS, type PaperCell, type PaperTable, paperTable } from './paper-table.js';

/** Rows of numbers that fit on a page beside the caption; with more, each detector has a table of its own. */
const MOST_ROWS = 45;

/**
 * Tables in the paper's layout, for `\input` into a document with booktabs and multirow: detector × modes, mean ± std and
 * ensemble, over OoD sets × FPR95 and AUROC.
 */
export function latexTables(evaluation: Results): string {
  const table = paperTable(evaluation);
  const rows = table.detectors.reduce((sum, { rows: own }) => sum + own.length, 0);
  const tables = rows <= MOST_ROWS ? [table] : table.detectors.map((detector) => ({ ...table, detectors: [detector] }));
  const head = '% \\input this file; it needs \\usepackage{booktabs} and \\usepackage{multirow}.\n';
  return `${head}${tables.map((one, i) => latexTable(one, evaluation, tables.length === 1 ? '' : `-${i + 1}`)).join('\n')}`;
}

function latexTable(table: PaperTable, evaluation: Results, suffix: string): string {
  const { sets, detectors } = table;
  const width = 2 * sets.length;
  const heads = sets.map((set) => `\\multicolumn{2}{c}{${escapeLatex(set)}}`);
  const rules = sets.map((_, i) => `\\cmidrule(lr){${3 + 2 * i}-${4 + 2 * i}}`);
  const arrows = { lower: '$\\downarrow$', higher: '$\\uparrow$' };
  const metrics = sets.flatMap(() => PAPER_METRICS.map(({ title, better }) => `${title} ${arrows[better]}`));
  const groups = detectors.map(({ title, rows }) => {
    const lines = rows.map(({ title: name, kind, cells }, i) => {
      const first = i === 0 ? `\\multirow{${rows.length}}{*}{${escapeLatex(title)}}` : '';
      const label = kind === 'mean' ? 'mean $\\pm$ std' : escapeLatex(name);
      return `${first} & ${label} & ${cells.map(cellText).join(' & ')} \\\\`;
    });
    return lines.join('\n');
  });
  const which = detectors.length === 1 ? `${detectors[0]?.title} of` : 'OoD detection of';
  const caption =
    `${which} ${evaluation.arch}, in-distribution ${evaluation.in}: FPR95 and AUROC in percent, ` +
    `for each mode, their mean and standard deviation, and the ensemble; the best in bold. ${sentence(describeConvention(evaluation.convention))}`;
  return `\\begin{table*}[t]
\\centering
\\footnotesize
\\setlength{\\tabcolsep}{3pt}
\\caption{${escapeLatex(caption)}}
\\label{tab:ood${suffix}}
\\begin{tabular}{ll${'r'.repeat(width)}}
\\toprule
 & & ${heads.join(' & ')} \\\\
${rules.join(' ')}
Detector & & ${metrics.join(' & ')} \\\\
\\midrule
${groups.join('\n\\midrule\n')}
\\bottomrule
\\end{tabular}
\\end{table*}
`;
}

function cellText({ value, std, isBest }: PaperCell): string {
  if (std !== undefined) return `${percent(value)}\\,{\\scriptsize$\\pm$\\,${percent(std)}}`;
  return isBest ? `\\textbf{${percent(value)}}` : percent(value);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

const SPECIAL: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '{': '\\{',
  '}': '\\}',
  $: '\\$',
  '&': '\\&',
  '#': '\\#',
  '%': '\\%',
  _: '\\_',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '<': '\\textless{}',
  '>': '\\textgreater{}',
  '"': '\\textquotedbl{}',
  '±': '$\\pm$',
  '–': '--',
};

/** Text as LaTeX sets it, on one line: names from outside can neither give commands nor end a paragraph. */
export function escapeLatex(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\{}$&#%_~^<>"±–]/g, (character) => SPECIAL[character] as string);
}
