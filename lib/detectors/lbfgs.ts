import { type LinePoint, searchLine } from './line-search.js';

/** Value at x; the gradient goes into `gradient`. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

export interface LbfgsOptions {
  /** Pairs of steps and gradient differences that are kept. */
  memory: number;
  /** Stop where no component of the gradient is larger. */
  gradientTolerance: number;
  /** Stop where an iteration lowers the value by no more than this, relative to the value or to 1. */
  valueTolerance: number;
  iterations: number;
  /** Evaluations that one line search may take. */
  searchSteps: number;
}

export interface LbfgsResult {
  x: Float64Array;
  iterations: number;
  /** Why it stopped: one of the two tolerances, no more iterations, or no lower value along the line. */
  end: 'gradient' | 'value' | 'iterations' | 'line search';
}

interface Pair {
  step: Float64Array; // s
  change: Float64Array; // y
  product: number; // sᵀy
}

/**
 * Limited-memory BFGS without bounds, as L-BFGS-B takes its steps where nothing is bounded: the inverse Hessian from the
 * last pairs with γ = sᵀy / yᵀy, first step 1 / ‖g‖, later ones 1, pairs without curvature left out, and the memory
 * dropped where a line search fails. Source: Byrd, Lu, Nocedal, Zhu, SIAM J. Sci. Comput. 16 (1995) 1190–1208; Zhu et
 * al., ACM TOMS 23 (1997) 550–560; the two-loop product: Nocedal, Math. Comp. 35 (1980) 773–782.
 */
export function minimize(objective: Objective, start: Float64Array, options: LbfgsOptions): LbfgsResult {
  let x = new Float64Array(start);
  let gradient = new Float64Array(x.length);
  let value = objective(x, gradient);
  let pairs: Pair[] = [];
  if (largest(gradient) <= options.gradientTolerance) return { x, iterations: 0, end: 'gradient' };
  for (let iterations = 0; ; ) {
    const from = x;
    const direction = newDirection(gradient, pairs);
    const slope = dot(gradient, direction);
    const first = iterations === 0 ? Math.min(1 / Math.sqrt(dot(direction, direction)), 1e10) : 1;
    let reached = { x, gradient };
    const evaluate = (step: number): LinePoint => {
      const at = from.map((coordinate, i) => coordinate + step * (direction[i] as number));
      reached = { x: at, gradient: new Float64Array(at.length) };
      const value = objective(at, reached.gradient);
      return { step, value, slope: dot(reached.gradient, direction) };
    };
    // Rounding can leave a direction that does not descend.
    const found = slope < 0 ? searchLine(evaluate, { step: 0, value, slope }, first, options.searchSteps) : undefined;
    if (found === undefined) {
      if (pairs.length === 0) return { x, iterations, end: 'line search' };
      pairs = [];
      continue;
    }
    const step = direction.map((component) => component * found.step);
    const change = reached.gradient.map((component, i) => component - (gradient[i] as number));
    const drop = value - found.value;
    const scale = Math.max(Math.abs(value), Math.abs(found.value), 1);
    x = reached.x;
    gradient = reached.gradient;
    value = found.value;
    iterations++;
    // In this order: a fit that converges in its last iteration counts as one that ran out of them.
    if (iterations >= options.iterations) return { x, iterations, end: 'iterations' };
    if (largest(gradient) <= options.gradientTolerance) return { x, iterations, end: 'gradient' };
    if (drop <= options.valueTolerance * scale) return { x, iterations, end: 'value' };
    const product = (found.slope - slope) * found.step;
    if (product > Number.EPSILON * -slope * found.step) {
      pairs.push({ step, change, product });
      if (pairs.length > options.memory) pairs.shift();
    }
  }
}

/** −H·g, with the inverse Hessian H that the pairs give; −g where there is none. */
function newDirection(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
  const q = gradient.map((component) => -component);
  const weights: number[] = [];
  for (const pair of pairs.toReversed()) {
    const weight = dot(pair.step, q) / pair.product;
    weights.push(weight);
    add(q, pair.change, -weight);
  }
  const last = pairs.at(-1);
  if (last !== undefined) {
    const scale = last.product / dot(last.change, last.change);
    for (let i = 0; i < q.length; i++) q[i] = (q[i] as number) * scale;
  }
  for (const pair of pairs) {
    add(q, pair.step, (weights.pop() as number) - dot(pair.change, q) / pair.product);
  }
  return q;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function add(to: Float64Array, values: Float64Array, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] as number) + factor * (values[i] as number);
}

function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}
