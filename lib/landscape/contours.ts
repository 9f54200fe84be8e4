/** Lines on which a grid of numbers has a value, and places on them for their labels. */

/** A line, in grid units: x from 0 to columns − 1, y from 0 to rows − 1. It is closed where its ends are one point. */
export type Line = [x: number, y: number][];

/**
 * The lines of one level by marching squares, with linear interpolation along the edges of cells; cells with a corner that is
 * no number have none. At a saddle the mean of the four corners decides which sides are joined.
 *
 * @param values [rows, columns], row by row
 */
export function contourLines(values: Float64Array, columns: number, level: number): Line[] {
  const rows = values.length / columns;
  const at = (x: number, y: number) => values[y * columns + x] as number;
  /** Pieces by the edges where they begin and end; an edge is shared by two cells. */
  const pieces: [from: Edge, to: Edge][] = [];
  for (let y = 0; y + 1 < rows; y++) {
    for (let x = 0; x + 1 < columns; x++) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)] as const;
      if (corners.some(Number.isNaN)) continue;
      const above = corners.map((value) => value >= level);
      // Top, right, bottom, left.
      const edges: Edge[] = [
        { x, y, isDown: false },
        { x: x + 1, y, isDown: true },
        { x, y: y + 1, isDown: false },
        { x, y, isDown: true },
      ];
      const crossed = edges.filter((_, side) => above[side] !== above[(side + 1) % 4]);
      const [a, b, c, d] = crossed as [Edge, Edge, Edge, Edge];
      if (crossed.length === 2) pieces.push([a, b]);
      if (crossed.length === 4) {
        const mean = corners.reduce((sum, value) => sum + value, 0) / 4;
        // Where the middle is like the first corner, lines go around the second and the fourth.
        if (mean >= level === above[0]) pieces.push([a, b], [c, d]);
        else pieces.push([d, a], [b, c]);
      }
    }
  }
  return joinPieces(pieces).map((edges) => edges.map((edge) => crossing(edge, at, level)));
}

/** From the point (x, y) one step down or to the right. */
interface Edge {
  x: number;
  y: number;
  isDown: boolean;
}

function crossing({ x, y, isDown }: Edge, at: (x: number, y: number) => number, level: number): [number, number] {
  const from = at(x, y);
  const to = isDown ? at(x, y + 1) : at(x + 1, y);
  // An infinite end pulls the line to the other one.
  const share = Number.isFinite(to - from) ? (level - from) / (to - from) : Number.isFinite(from) ? 0 : 1;
  return isDown ? [x, y + share] : [x + share, y];
}

function joinPieces(pieces: readonly [Edge, Edge][]): Edge[][] {
  const name = ({ x, y, isDown }: Edge) => `${x},${y},${isDown}`;
  const ends = new Map<string, number[]>();
  for (const [index, piece] of pieces.entries()) {
    for (const edge of piece) ends.set(name(edge), [...(ends.get(name(edge)) ?? []), index]);
  }
  const used = new Set<number>();
  /** Follows the pieces from an edge on, away from `line`'s last piece. */
  const follow = (line: Edge[]) => {
    for (;;) {
      const last = line.at(-1) as Edge;
      const next = ends.get(name(last))?.find((index) => !used.has(index));
      if (next === undefined) return;
      used.add(next);
      const [from, to] = pieces[next] as [Edge, Edge];
      line.push(name(from) === name(last) ? to : from);
    }
  };
  const lines: Edge[][] = [];
  for (const [index, [from, to]] of pieces.entries()) {
    if (used.has(index)) continue;
    used.add(index);
    const line = [from, to];
    follow(line);
    line.reverse();
    follow(line);
    lines.push(line);
  }
  return lines;
}

export interface PlacedLabel {
  level: number;
  x: number;
  y: number;
  /** Degrees, clockwise, between −90 and 90: the text stands upright. */
  angle: number;
}

export interface LabelSettings {
  /** Size of a label, in the units of the lines. */
  width: number;
  height: number;
  /** Labels stay so far away from the border. */
  sides: [width: number, height: number];
}

/**
 * Places for labels: on each line at most one, where it is straight, far from other lines and from the labels before it.
 * Lines that leave no room have none.
 *
 * @param contours in the order of importance
 */
export function placeLabels(
  contours: readonly { level: number; lines: readonly Line[] }[],
  { width, height, sides }: LabelSettings,
): PlacedLabel[] {
  const placed: PlacedLabel[] = [];
  const all = contours.flatMap(({ level, lines }) => lines.map((line) => ({ level, line: evenly(line, height / 3) })));
  for (const { level, line } of all) {
    const reach = Math.ceil(width / 2 / (height / 3));
    if (line.length < 3 * reach) continue;
    let best: (PlacedLabel & { room: number }) | undefined;
    for (let i = reach; i + reach < line.length; i += 2) {
      const [x, y] = line[i] as [number, number];
      const [from, to] = [line[i - reach], line[i + reach]] as [[number, number], [number, number]];
      if (!isInside(x, y, width * 0.6, sides)) continue;
      const chord = Math.hypot(to[0] - from[0], to[1] - from[1]);
      const arc = 2 * reach * (height / 3);
      const others = placed.map((label) => Math.hypot(label.x - x, label.y - y));
      if (chord < 0.9 * arc || others.some((distance) => distance < 1.5 * width)) continue;
      const room = Math.min(distanceToOthers(all, line, [x, y]), 2 * height);
      if (best && room <= best.room) continue;
      best = { level, x, y, angle: upright(Math.atan2(to[1] - from[1], to[0] - from[0])), room };
    }
    if (best && best.room > 0.35 * height) placed.push(best);
  }
  return placed.map(({ level, x, y, angle }) => ({ level, x, y, angle }));
}

function isInside(x: number, y: number, margin: number, [width, height]: [number, number]): boolean {
  return x > margin && y > margin && x < width - margin && y < height - margin;
}

function distanceToOthers(all: readonly { line: Line }[], own: Line, [x, y]: [number, number]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { line } of all) {
    if (line === own) continue;
    for (const [px, py] of line) least = Math.min(least, Math.hypot(px - x, py - y));
  }
  return least;
}

function upright(radians: number): number {
  const degrees = (radians * 180) / Math.PI;
  return degrees > 90 ? degrees - 180 : degrees < -90 ? degrees + 180 : degrees;
}

/** The same line with points at even distances. */
function evenly(line: Line, step: number): Line {
  const out: Line = [line[0] as [number, number]];
  let left = step;
  for (let i = 1; i < line.length; i++) {
    let [x, y] = line[i - 1] as [number, number];
    const [toX, toY] = line[i] as [number, number];
    for (;;) {
      const length = Math.hypot(toX - x, toY - y);
      if (length < left) {
        left -= length;
        break;
      }
      x += ((toX - x) * left) / length;
      y += ((toY - y) * left) / length;
      out.push([x, y]);
      left = step;
    }
  }
  return out;
}
