/** Contours of losses over planes of weight space: one column a mode, InD above OoD, one scale for all. */
import { contourLines, type Line, placeLabels } from './contours.js';
import { draw, FONT, INK, SOFT } from './svg.js';

/** The paper's levels: from 0.1 to 10 in steps of 0.5. */
export const LEVELS: readonly number[] = Array.from({ length: 20 }, (_, index) => (1 + 5 * index) / 10);

/** A point that is marked and named. */
export interface Mark {
  x: number;
  y: number;
  text?: string | undefined;
}

export interface Panel {
  /** [rows, columns], the first row at the lower end of the second axis; NaN is a gap. */
  values: Float64Array;
}

export interface ContourFigure {
  /** Of the rows: data sets. */
  rows: readonly string[];
  columns: readonly string[];
  /** [rows][columns]. */
  panels: readonly (readonly Panel[])[];
  /** Points on each axis, and where it begins and ends. */
  axes: readonly [Axis, Axis];
  /** One list a column. */
  marks: readonly (readonly Mark[])[];
}

export interface Axis {
  title: string;
  count: number;
  from: number;
  to: number;
}

/** Height of a panel, in pixels; its width is such that both axes have one scale. */
const HEIGHT = 210;
const GAP = 30;
const LEFT = 74;
const TOP = 34;
const LABEL = { width: 21, height: 9 };

export function drawContours(figure: ContourFigure): Promise<string> {
  const [across, up] = figure.axes;
  const width = Math.round((HEIGHT * (across.to - across.from)) / (up.to - up.from));
  const total = {
    width: LEFT + figure.columns.length * (width + GAP) + 64,
    height: TOP + figure.rows.length * (HEIGHT + GAP) + 26,
  };
  const panels = figure.panels.flatMap((row, r) =>
    row.map((panel, c) => {
      const place = { x: LEFT + c * (width + GAP), y: TOP + r * (HEIGHT + GAP) };
      const isLast = r === figure.rows.length - 1;
      return panelMark(panel, figure, width, figure.marks[c] ?? [], place, isLast, c === 0);
    }),
  );
  const middle = (c: number) => LEFT + c * (width + GAP) + width / 2;
  const titles = [
    ...figure.columns.map((text, c) => textMark({ x: middle(c), y: TOP - 12, text, size: 12, weight: 'bold' })),
    ...figure.rows.map((text, r) =>
      textMark({ x: 14, y: TOP + r * (HEIGHT + GAP) + HEIGHT / 2, text, size: 12, weight: 'bold', angle: -90 }),
    ),
  ];
  const legendX = LEFT + figure.columns.length * (width + GAP) - GAP + 16;
  return draw({
    ...total,
    padding: 6,
    autosize: 'none',
    scales: [colourScale()],
    marks: [...panels, ...titles, legendMark(legendX)],
  });
}

/** What stands beside the panels: a colour for each level. */
function legendMark(x: number) {
  const top = LEVELS.at(-1) as number;
  return {
    type: 'group',
    encode: { enter: { x: { value: x }, y: { value: TOP }, width: { value: 10 }, height: { value: HEIGHT } } },
    data: [{ name: 'levels', values: LEVELS.map((level) => ({ level })) }],
    scales: [{ name: 'height', type: 'linear', domain: [0, top + 0.25], range: [HEIGHT, 0] }],
    axes: [
      {
        orient: 'right',
        scale: 'height',
        values: LEVELS.filter((_, i) => i % 4 === 0 || i === 19),
        format: '.1f',
        domain: false,
        tickSize: 3,
        title: 'mean cross-entropy',
        titlePadding: 6,
      },
    ],
    marks: [
      {
        type: 'rect',
        from: { data: 'levels' },
        encode: {
          enter: {
            x: { value: 0 },
            width: { value: 10 },
            yc: { scale: 'height', field: 'level' },
            height: { value: 3 },
            fill: { scale: 'colour', field: 'level' },
          },
        },
      },
    ],
  };
}

function colourScale() {
  const domain = [LEVELS[0], LEVELS.at(-1)];
  // The last part of the scheme is too light for lines on white.
  return { name: 'colour', type: 'linear', domain, range: { scheme: 'viridis', extent: [0, 0.88] } };
}

interface TextSettings {
  x: number;
  y: number;
  text: string;
  size: number;
  weight?: string;
  angle?: number;
}

function textMark({ x, y, text, size, weight = 'normal', angle = 0 }: TextSettings) {
  const place = { x: { value: x }, y: { value: y }, text: { value: text }, angle: { value: angle } };
  const look = {
    font: { value: FONT },
    fontSize: { value: size },
    fontWeight: { value: weight },
    fill: { value: INK },
  };
  return {
    type: 'text',
    encode: { enter: { ...place, ...look, align: { value: 'center' }, baseline: { value: 'middle' } } },
  };
}

function panelMark(
  { values }: Panel,
  { axes: [across, up] }: ContourFigure,
  width: number,
  marks: readonly Mark[],
  place: { x: number; y: number },
  isLast: boolean,
  isFirst: boolean,
) {
  const toX = (x: number) => (x * width) / (across.count - 1);
  const toY = (y: number) => HEIGHT - (y * HEIGHT) / (up.count - 1);
  const contours = LEVELS.map((level) => ({
    level,
    lines: contourLines(values, across.count, level).map((line): Line => line.map(([x, y]) => [toX(x), toY(y)])),
  }));
  const labels = placeLabels(contours, { ...LABEL, sides: [width, HEIGHT] });
  // One path a level keeps the file small.
  const paths = contours.flatMap(({ level, lines }) =>
    lines.length > 0 ? [{ level, path: lines.map(pathOf).join('') }] : [],
  );
  const gaps = [...values].flatMap((value, point) =>
    Number.isNaN(value) ? [{ x: toX(point % across.count), y: toY(Math.floor(point / across.count)) }] : [],
  );
  const cell = { width: width / (across.count - 1), height: HEIGHT / (up.count - 1) };
  const label = (halo: boolean) => ({
    type: 'text',
    from: { data: 'labels' },
    encode: {
      enter: {
        ...{ x: { field: 'x' }, y: { field: 'y' }, angle: { field: 'angle' }, text: { field: 'text' } },
        ...{
          align: { value: 'center' },
          baseline: { value: 'middle' },
          font: { value: FONT },
          fontSize: { value: 8.5 },
        },
        ...(halo
          ? { stroke: { value: '#ffffff' }, strokeWidth: { value: 3.5 }, fill: { value: '#ffffff' } }
          : { fill: { value: INK } }),
      },
    },
  });
  return {
    type: 'group',
    encode: {
      enter: {
        ...{ x: { value: place.x }, y: { value: place.y }, width: { value: width }, height: { value: HEIGHT } },
        ...{ stroke: { value: SOFT }, clip: { value: false } },
      },
    },
    data: [
      { name: 'paths', values: paths },
      { name: 'gaps', values: gaps },
      { name: 'labels', values: labels.map(({ level, ...at }) => ({ ...at, text: level.toFixed(1) })) },
      { name: 'marks', values: marks.map(({ x, y, text = '' }) => ({ x, y, text })) },
    ],
    scales: [
      { name: 'x', type: 'linear', domain: [across.from, across.to], range: [0, width] },
      { name: 'y', type: 'linear', domain: [up.from, up.to], range: [HEIGHT, 0] },
    ],
    axes: [
      {
        orient: 'bottom',
        scale: 'x',
        tickCount: 4,
        labelFlush: true,
        labels: isLast,
        ticks: isLast,
        domain: false,
        ...(isLast ? { title: across.title } : {}),
      },
      {
        orient: 'left',
        scale: 'y',
        tickCount: 4,
        labels: isFirst,
        ticks: isFirst,
        domain: false,
        ...(isFirst ? { title: up.title } : {}),
      },
    ],
    marks: [
      {
        type: 'rect',
        from: { data: 'gaps' },
        clip: true,
        encode: {
          enter: {
            ...{ xc: { field: 'x' }, yc: { field: 'y' }, width: { value: cell.width }, height: { value: cell.height } },
            fill: { value: '#d5dbe3' },
          },
        },
      },
      {
        type: 'path',
        from: { data: 'paths' },
        encode: {
          enter: { path: { field: 'path' }, stroke: { scale: 'colour', field: 'level' }, strokeWidth: { value: 1.1 } },
        },
      },
      {
        type: 'symbol',
        from: { data: 'marks' },
        encode: {
          enter: {
            ...{ x: { scale: 'x', field: 'x' }, y: { scale: 'y', field: 'y' }, size: { value: 34 } },
            ...{ shape: { value: 'circle' }, fill: { value: '#c0392b' }, stroke: { value: '#ffffff' } },
          },
        },
      },
      label(true),
      label(false),
      ...[true, false].map((halo) => ({
        type: 'text',
        from: { data: 'marks' },
        encode: {
          enter: {
            ...{ x: { scale: 'x', field: 'x', offset: 6 }, y: { scale: 'y', field: 'y', offset: -7 } },
            ...{
              text: { field: 'text' },
              font: { value: FONT },
              fontSize: { value: 10 },
              fontWeight: { value: 'bold' },
            },
            ...(halo ? { stroke: { value: '#ffffff' }, strokeWidth: { value: 3 } } : {}),
            fill: { value: '#c0392b' },
          },
        },
      })),
    ],
  };
}

/** With one place behind the point: a fiftieth of a screen's pixel is enough. */
function pathOf(line: Line): string {
  return line.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${short(x)},${short(y)}`).join('');
}

function short(value: number): string {
  return String(Math.round(value * 10) / 10);
}
