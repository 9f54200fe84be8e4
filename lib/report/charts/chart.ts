/** What every chart of the report is: rows of numbers, and a Vega-Lite specification that refers to them by name. */

/** Rows under named columns; columns are named once, since thousands of rows stand in a page. */
export interface Table {
  fields: readonly string[];
  rows: readonly (readonly (string | number)[])[];
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

export const WIDTH = 210;

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
