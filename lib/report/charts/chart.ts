/** What every chart of the report is: rows of numbers, and a Vega-Lite specification that refers to them by name. */

/** Named columns of one length, since thousands of rows stand in a page: their names stand there once, and words once a run. */
export type Table = Readonly<Record<string, readonly number[] | Runs>>;

/** A column of words, each with how many rows it stands in. */
export interface Runs {
  runs: readonly (readonly [word: string, rows: number])[];
}

/** Columns of rows; a column is of words or of numbers. */
export function tableOf(fields: readonly string[], rows: readonly (readonly (string | number)[])[]): Table {
  const column = (index: number) => {
    const values = rows.map((row) => row[index] as string | number);
    return typeof values[0] === 'string' ? runsOf(values.map(String)) : values.map(Number);
  };
  return Object.fromEntries(fields.map((field, index) => [field, column(index)]));
}

function runsOf(words: readonly string[]): Runs {
  const runs: [string, number][] = [];
  for (const word of words) {
    const last = runs.at(-1);
    if (last?.[0] === word) last[1]++;
    else runs.push([word, 1]);
  }
  return { runs };
}

/** The rows again, as Vega wants them; it adds to them, so that each view needs its own. */
export function recordsOf(table: Table): Record<string, string | number>[] {
  const columns = Object.entries(table).map(([field, column]) => {
    const values = 'runs' in column ? column.runs.flatMap(([word, n]) => new Array<string>(n).fill(word)) : column;
    return [field, values] as const;
  });
  const length = columns[0]?.[1].length ?? 0;
  return Array.from({ length }, (_, i) =>
    Object.fromEntries(columns.map(([field, values]) => [field, values[i] as string | number])),
  );
}

export interface Chart {
  /** What its file is called, without the ending. */
  name: string;
  data: Readonly<Record<string, Table>>;
  /**
   * Charts of one kind share it, character for character, where they do not differ in more than their data.
   *
   * @param isLive with what answers to the pointer, which a still picture has no use for
   */
  spec(isLive: boolean): object;
}

export const WIDTH = 190;

/** Values of one encoding, kept in the order of the data. */
export const nominal = (field: string, rest: object = {}) => ({ field, type: 'nominal', sort: null, ...rest });
export const quantitative = (field: string, rest: object = {}) => ({ field, type: 'quantitative', ...rest });

/** A share from 0 to 1 in percent. */
export const shareTip = (field: string, title: string) => quantitative(field, { title, format: '.2%' });
export const textTip = (field: string, title: string) => nominal(field, { title });

/** Marks what the pointer is at, or nearest to. */
export const hover = (fields: readonly string[], isNearest = false) => ({
  name: 'at',
  select: { type: 'point', fields, on: 'pointerover', clear: 'pointerout', nearest: isNearest },
});

/** `yes` for what the pointer is at; always `no` in a still picture. */
export const whenAt = (isLive: boolean, yes: number, no: number) =>
  isLive ? { condition: { param: 'at', empty: false, value: yes }, value: no } : { value: no };

/**
 * Colours come from the page's style sheet, so that one SVG serves light, dark and paper. The page describes each chart in
 * words; marks one by one would be noise to a screen reader.
 */
export const CONFIG = {
  aria: false,
  background: 'transparent',
  font: 'system-ui, sans-serif',
  view: { stroke: 'transparent' },
  text: { color: 'currentColor' },
  axis: {
    labelColor: 'currentColor',
    titleColor: 'currentColor',
    domainColor: 'currentColor',
    tickColor: 'currentColor',
    gridColor: 'currentColor',
    gridOpacity: 0.12,
    labelFontSize: 11,
    titleFontSize: 11,
    titleFontWeight: 'normal',
  },
  legend: {
    labelColor: 'currentColor',
    titleColor: 'currentColor',
    symbolStrokeColor: 'currentColor',
    labelFontSize: 11,
    titleFontSize: 11,
    titleFontWeight: 'normal',
  },
};
