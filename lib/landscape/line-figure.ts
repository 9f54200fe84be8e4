/** Losses along lines of weight space: one panel a data set, one line a mode or a path. */
import { drawLite } from './svg.js';

export interface LinePanel {
  title: string;
  /** Of the vertical axis. */
  measure: string;
  series: readonly { name: string; x: readonly number[]; y: readonly number[] }[];
}

export interface LineFigure {
  /** Of the horizontal axis. */
  axis: string;
  panels: readonly LinePanel[];
  /** What the lines are, in the legend. */
  legend: string;
  columns: number;
}

/** Colours that are told apart by people who see few, and in print: Okabe and Ito, 2008. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];

export function drawLines({ axis, panels, legend, columns }: LineFigure): Promise<string> {
  const names = [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))];
  return drawLite({
    columns,
    spacing: 24,
    bounds: 'flush',
    padding: 8,
    concat: panels.map(({ title, measure, series }) => ({
      title,
      width: 230,
      height: 160,
      data: {
        // A gap in a line where there is no number.
        values: series.flatMap(({ name, x, y }) =>
          x.map((at, i) => ({ name, at, value: Number.isFinite(y[i]) ? y[i] : null })),
        ),
      },
      mark: { type: 'line', strokeWidth: 1.6 },
      encoding: {
        x: {
          field: 'at',
          type: 'quantitative',
          scale: { nice: false, zero: false },
          axis: { title: axis, tickCount: 5 },
        },
        y: { field: 'value', type: 'quantitative', scale: { zero: false }, axis: { title: measure, tickCount: 5 } },
        color: {
          field: 'name',
          type: 'nominal',
          scale: { domain: names, range: names.map((_, i) => COLOURS[i % COLOURS.length]) },
          legend: { title: legend },
        },
      },
    })),
  });
}
