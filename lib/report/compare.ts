/** Two runs beside each other: the mean of their modes and their largest ensembles, for the detectors and OoD sets that both have. */
import { ConfigError } from '../config/errors.js';
import { titleOf } from '../detectors/index.js';
import { BETTER, describeConvention, type Gain, type MeasureName, summarize } from '../metrics/index.js';
import type { ResultRow, Results } from '../run/types.js';
import { between, describeIntervals, meanAndStd, percent, points } from './numbers.js';
import { largestEnsemble, METRICS } from './summary.js';
import { align, SHOWN_METRICS } from './tables.js';

export interface ComparedCell {
  detector: string;
  out: string;
  metric: MeasureName;
  /** Every mode's value; `gain` is above 0 where B is better, whether small or large values of the metric are good. Fractions. */
  modes: { a: number[]; b: number[]; difference: Gain };
  /** The largest ensembles; absent where a run has none. */
  ensembles?: { a: ResultRow; b: ResultRow; difference: Gain } | undefined;
}

export interface Comparison {
  cells: ComparedCell[];
  /** Detectors and OoD sets that only one of the runs has. */
  onlyA: string[];
  onlyB: string[];
  hasIntervals: boolean;
}

/**
 * Sets run B against run A.
 *
 * @throws ConfigError where they are measured on other in-distribution sets or in another convention, or have nothing in common
 */
export function compareResults(a: Results, b: Results, metrics: readonly MeasureName[] = SHOWN_METRICS): Comparison {
  for (const [what, one, other] of [
    ['in-distribution sets', a.in, b.in],
    ['conventions', a.convention, b.convention],
  ] as const) {
    if (one !== other) throw new ConfigError(`The runs cannot be compared: their ${what} differ, ${one} and ${other}.`);
  }
  const names = ({ rows, out }: Results) => ({ detectors: [...new Set(rows.map(({ detector }) => detector))], out });
  const [inA, inB] = [names(a), names(b)];
  const common = (kind: 'detectors' | 'out') => inA[kind].filter((name) => inB[kind].includes(name));
  const only = (one: typeof inA, other: typeof inA) =>
    (['detectors', 'out'] as const).flatMap((kind) => one[kind].filter((name) => !other[kind].includes(name)));
  const hasIntervals = a.intervals !== undefined && a.intervals.level === b.intervals?.level;
  const largest = [largestEnsemble(a), largestEnsemble(b)];
  const cells = common('detectors').flatMap((detector) =>
    metrics.flatMap((metric) =>
      common('out').map((out): ComparedCell => {
        const rows = [a, b].map((run) => run.rows.filter((row) => row.detector === detector && row.out === out));
        const modes = rows.map((own) => own.filter(({ kind }) => kind === 'mode').map((row) => row[metric]));
        const ensembles = rows.map((own, i) => own.find(({ members }) => members === largest[i]));
        const [modesA = [], modesB = []] = modes;
        const [ofA, ofB] = ensembles;
        const gain = better(metric, summarize(modesA).mean, summarize(modesB).mean);
        return {
          ...{ detector, out, metric },
          modes: { a: modesA, b: modesB, difference: { gain } },
          ensembles: ofA && ofB && { a: ofA, b: ofB, difference: difference(metric, ofA, ofB, hasIntervals) },
        };
      }),
    ),
  );
  if (cells.length === 0) {
    throw new ConfigError('The runs cannot be compared: they have no detector and OoD set in common.');
  }
  return { cells, onlyA: only(inA, inB), onlyB: only(inB, inA), hasIntervals };
}

function better(metric: MeasureName, a: number, b: number): number {
  return BETTER[metric] === 'lower' ? a - b : b - a;
}

/**
 * With an interval from those of the two values, as if the runs had drawn their images independently: the square-and-add limits
 * (MOVER; Zou and Donner, Statistics in Medicine 27, 2008, after Newcombe 1998). On the same images runs go up and down together, so
 * that it is rather too wide than too narrow.
 */
function difference(metric: MeasureName, a: ResultRow, b: ResultRow, hasIntervals: boolean): Gain {
  // gain = x − y.
  const [x, y] = (BETTER[metric] === 'lower' ? [a, b] : [b, a]).map((row) => ({
    value: row[metric],
    lo: row[`${metric}_lo`],
    hi: row[`${metric}_hi`],
  })) as [Ends, Ends];
  const gain = x.value - y.value;
  if (!hasIntervals || [x.lo, x.hi, y.lo, y.hi].includes(undefined)) return { gain };
  const down = Math.hypot(x.value - (x.lo as number), (y.hi as number) - y.value);
  const up = Math.hypot((x.hi as number) - x.value, y.value - (y.lo as number));
  return { gain, lo: gain - down, hi: gain + up };
}

interface Ends {
  value: number;
  lo: number | undefined;
  hi: number | undefined;
}

/** The comparison as text for a terminal: one table a detector and metric. */
export function formatComparison(
  comparison: Comparison,
  a: Results,
  [nameA, nameB]: readonly [string, string],
): string {
  const { cells, onlyA, onlyB, hasIntervals } = comparison;
  const tables: string[] = [];
  for (const detector of new Set(cells.map((cell) => cell.detector))) {
    for (const { name, title } of METRICS) {
      const own = cells.filter((cell) => cell.detector === detector && cell.metric === name);
      if (own.length > 0) tables.push(tableOf(`${titleOf(detector)}, ${title} %`, own));
    }
  }
  const notes = [
    `A: ${nameA}; B: ${nameB}. "better by": points by which B is better than A.`,
    ...(onlyA.length > 0 ? [`Only in A: ${onlyA.join(', ')}.`] : []),
    ...(onlyB.length > 0 ? [`Only in B: ${onlyB.join(', ')}.`] : []),
    ...(hasIntervals && a.intervals
      ? [
          `In brackets: ${describeIntervals(a.intervals)}; of differences as if the runs' images had been drawn independently.`,
        ]
      : []),
    `In ${a.in}; ${describeConvention(a.convention)}.`,
  ];
  return `${[...tables, notes.join('\n')].join('\n\n')}\n`;
}

function tableOf(head: string, cells: readonly ComparedCell[]): string {
  const hasEnsembles = cells.some(({ ensembles }) => ensembles !== undefined);
  const heads = ['modes A', 'modes B', 'better by', ...(hasEnsembles ? ['ensemble A', 'ensemble B', 'better by'] : [])];
  return align([
    [head, ...heads],
    ...cells.map(({ out, metric, modes, ensembles }) => {
      const value = (row: ResultRow) => `${percent(row[metric])}${between(row[`${metric}_lo`], row[`${metric}_hi`])}`;
      const fused = ensembles
        ? [value(ensembles.a), value(ensembles.b), points(ensembles.difference)]
        : ['–', '–', '–'];
      return [
        out,
        ...[meanAndStd(modes.a), meanAndStd(modes.b), points(modes.difference)],
        ...(hasEnsembles ? fused : []),
      ];
    }),
  ]);
}
