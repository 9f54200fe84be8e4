/**
 * Which points of a line or a grid come first: coarse to fine, so that a picture of the whole is there early. A level holds
 * every line that the levels before it hold, and those between them.
 */

/** The level of each place on a line of `count` places; the ends and the middle are in level 0. */
export function lineLevels(count: number): number[] {
  const middle = (count - 1) >> 1;
  const coarsest = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, (count - 1) / 2))));
  return Array.from({ length: count }, (_, place) => {
    if (place === 0 || place === count - 1) return 0;
    for (let stride = coarsest, level = 0; ; stride /= 2, level++) {
      if ((place - middle) % stride === 0) return level;
    }
  });
}

/**
 * The points of a grid in levels, each level's in the order of their numbers.
 *
 * @param sides places on each axis, the fastest first: point (i, j) has the number j·sides[0] + i
 */
export function pointLevels(sides: readonly number[]): number[][] {
  const lines = sides.map(lineLevels);
  const levels: number[][] = [];
  const count = sides.reduce((product, side) => product * side, 1);
  for (let point = 0; point < count; point++) {
    let level = 0;
    let rest = point;
    for (const line of lines) {
      level = Math.max(level, line[rest % line.length] as number);
      rest = Math.floor(rest / line.length);
    }
    while (levels.length <= level) levels.push([]);
    levels[level]?.push(point);
  }
  return levels;
}

/**
 * A grid whose points are known on some lines alone, with the others between them filled in linearly, for pictures.
 *
 * @param values [rows, columns], NaN where nothing is known yet
 * @param level of the finest lines on which all points are known
 */
export function fillBetween(values: Float64Array, columns: number, level: number): Float64Array {
  const rows = values.length / columns;
  const known = (count: number) => {
    const levels = lineLevels(count);
    return levels.flatMap((own, place) => (own <= level ? [place] : []));
  };
  const [across, down] = [known(columns), known(rows)];
  const bracket = (places: readonly number[], place: number): [number, number, number] => {
    const after = places.findIndex((one) => one >= place);
    const high = places[after] as number;
    if (high === place) return [high, high, 0];
    const low = places[after - 1] as number;
    return [low, high, (place - low) / (high - low)];
  };
  const filled = new Float64Array(values.length);
  for (let row = 0; row < rows; row++) {
    const [top, bottom, v] = bracket(down, row);
    for (let column = 0; column < columns; column++) {
      const [left, right, u] = bracket(across, column);
      const at = (r: number, c: number) => values[r * columns + c] as number;
      const upper = u === 0 ? at(top, left) : at(top, left) * (1 - u) + at(top, right) * u;
      const lower = u === 0 ? at(bottom, left) : at(bottom, left) * (1 - u) + at(bottom, right) * u;
      filled[row * columns + column] = v === 0 ? upper : upper * (1 - v) + lower * v;
    }
  }
  return filled;
}
