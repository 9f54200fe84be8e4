/** Where the points of surfaces lie: as coefficients of weight vectors, and as coordinates of pictures. */
import type { CurveKind } from '../native/contract.js';
import type { Axis, Mark } from './contour-figure.js';
import { pointLevels } from './order.js';

export interface Geometry {
  /** [points][vectors]. */
  coefficients: number[][];
  levels: number[][];
  /** One or two; the first runs fastest. */
  axes: Axis[];
  marks: Mark[];
}

/** `count` places from `from` to `to`; of an odd number around 0 the middle one is 0 itself. */
export function places({ count, from, to }: Pick<Axis, 'count' | 'from' | 'to'>): number[] {
  return Array.from({ length: count }, (_, i) => (from * (count - 1 - i) + to * i) / (count - 1));
}

/** A mode and two directions from it: w + αd₁ + βd₂ over [−range, range]². */
export function gridGeometry(grid: number, range: number): Geometry {
  const axis = { count: grid, from: -range, to: range };
  const along = places(axis);
  return {
    coefficients: along.flatMap((beta) => along.map((alpha) => [1, alpha, beta])),
    levels: pointLevels([grid, grid]),
    axes: [
      { ...axis, title: 'α' },
      { ...axis, title: 'β' },
    ],
    marks: [{ x: 0, y: 0 }],
  };
}

/** A mode and one direction from it: w + αd₁. */
export function profileGeometry(grid: number, range: number): Geometry {
  const axis = { count: grid, from: -range, to: range };
  return {
    coefficients: places(axis).map((alpha) => [1, alpha]),
    levels: pointLevels([grid]),
    axes: [{ ...axis, title: 'α' }],
    marks: [],
  };
}

/**
 * The plane through three modes a, b and c, with orthonormal axes u ∝ b − a and v ∝ what of c − a is orthogonal to u; lengths
 * are Euclidean distances of weights. Source: Garipov et al., NeurIPS 2018, arXiv 1802.10026, appendix A.
 *
 * @param products inner products of their weights, [3, 3]
 * @param margin around the three, as a share of their extent on each axis
 */
export function planeGeometry(
  products: readonly number[],
  names: readonly string[],
  grid: number,
  margin: number,
): Geometry {
  const of = (i: number, j: number) => products[3 * i + j] as number;
  // Of b − a and c − a.
  const uu = of(1, 1) - 2 * of(0, 1) + of(0, 0);
  const vv = of(2, 2) - 2 * of(0, 2) + of(0, 0);
  const uv = of(1, 2) - of(0, 1) - of(0, 2) + of(0, 0);
  const length = Math.sqrt(uu);
  const x = uv / length;
  const y = Math.sqrt(Math.max(0, vv - x * x));
  const at: [number, number][] = [
    [0, 0],
    [length, 0],
    [x, y],
  ];
  const axisOf = (title: string, values: number[]): Axis => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const around = margin * (high - low);
    return { title, count: grid, from: low - around, to: high + around };
  };
  const [across, up] = [
    axisOf(
      'distance along the first two',
      at.map((one) => one[0]),
    ),
    axisOf(
      'distance from them',
      at.map((one) => one[1]),
    ),
  ];
  const coefficients = places(up).flatMap((q) =>
    places(across).map((p) => {
      const third = q / y;
      const second = (p - third * x) / length;
      return [1 - second - third, second, third];
    }),
  );
  const marks = at.map(([px, py], i) => ({ x: px, y: py, text: names[i] }));
  return { coefficients, levels: pointLevels([grid, grid]), axes: [across, up], marks };
}

/** Of the first end, the bend and the second end at t; native/landscape/curve.cc has the same. */
export function curveCoefficients(kind: CurveKind, t: number): [number, number, number] {
  if (kind === 'bezier') return [(1 - t) * (1 - t), 2 * t * (1 - t), t * t];
  return t < 0.5 ? [1 - 2 * t, 2 * t, 0] : [0, 2 - 2 * t, 2 * t - 1];
}
