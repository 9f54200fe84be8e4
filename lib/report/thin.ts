/**
 * The places of a line's points that are enough to draw it: every point that is left out lies within `tolerance` of the line
 * through those that are kept. Ramer–Douglas–Peucker (Douglas and Peucker, Cartographica 10, 1973), without recursion.
 *
 * @param x // [K]
 * @param y // [K]
 * @param tolerance in the unit of x and y, which must be the same for both
 * @returns places in ascending order, the first and the last among them
 */
export function thin(x: ArrayLike<number>, y: ArrayLike<number>, tolerance: number): number[] {
  const last = x.length - 1;
  if (last < 1) return last < 0 ? [] : [0];
  const isKept = new Uint8Array(x.length);
  isKept[0] = 1;
  isKept[last] = 1;
  const stack: [number, number][] = [[0, last]];
  for (let part = stack.pop(); part; part = stack.pop()) {
    const [from, to] = part;
    let [farthest, distance] = [-1, tolerance * tolerance];
    for (let i = from + 1; i < to; i++) {
      const squared = squaredDistance(x, y, i, from, to);
      if (squared > distance) [farthest, distance] = [i, squared];
    }
    if (farthest < 0) continue;
    isKept[farthest] = 1;
    stack.push([from, farthest], [farthest, to]);
  }
  return [...isKept.keys()].filter((i) => isKept[i] === 1);
}

/** Of point i from the segment between the points a and b. */
function squaredDistance(x: ArrayLike<number>, y: ArrayLike<number>, i: number, a: number, b: number): number {
  const [ax, ay] = [x[a] as number, y[a] as number];
  const [dx, dy] = [(x[b] as number) - ax, (y[b] as number) - ay];
  const [px, py] = [(x[i] as number) - ax, (y[i] as number) - ay];
  const length = dx * dx + dy * dy;
  const along = length === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / length));
  return (px - along * dx) ** 2 + (py - along * dy) ** 2;
}
