/**
 * A line search for the strong Wolfe conditions: f(a) ≤ f(0) + ftol·a·f'(0) and |f'(a)| ≤ gtol·|f'(0)|. Source: Moré and
 * Thuente, "Line search algorithms with guaranteed sufficient decrease", ACM TOMS 20 (1994) 286–307, with the constants of
 * MINPACK-2 and the tolerances of L-BFGS-B (Zhu, Byrd, Lu, Nocedal, ACM TOMS 23 (1997) 550–560). The sequence of trial
 * steps is theirs, since where a fit that is stopped early ends depends on it.
 */

const FTOL = 1e-3;
const GTOL = 0.9;
const XTOL = 0.1;
const LARGEST_STEP = 1e10;

/** Value and derivative of the function at a step along the line. */
export interface LinePoint {
  step: number;
  value: number;
  slope: number;
}

/**
 * @param start at step 0, with a negative slope
 * @param first the first step to try, above 0
 * @param evaluations how many may be asked for
 * @returns the last point that was evaluated; undefined where the evaluations did not suffice
 */
export function searchLine(
  evaluate: (step: number) => LinePoint,
  start: LinePoint,
  first: number,
  evaluations: number,
): LinePoint | undefined {
  const decrease = FTOL * start.slope;
  let best = start; // the end with the least value so far
  let other = start; // the interval's other end
  let bracketed = false;
  let settled = false; // the auxiliary function ψ of the paper is no longer needed
  let low = 0;
  let high = 5 * first;
  let width = LARGEST_STEP;
  let widthBefore = 2 * LARGEST_STEP;
  let step = first;
  for (let count = 0; count < evaluations; count++) {
    const trial = evaluate(step);
    const target = start.value + step * decrease;
    const enough = trial.value <= target;
    if (enough && trial.slope >= 0) settled = true;
    if (enough && Math.abs(trial.slope) <= -GTOL * start.slope) return trial;
    // Rounding allows no further progress: the point that is there is taken.
    if (bracketed && (step <= low || step >= high || high - low <= XTOL * high)) return trial;
    if (step === LARGEST_STEP && enough && trial.slope <= decrease) return trial;
    if (step === 0 && (!enough || trial.slope >= decrease)) return trial;

    // While no step has satisfied the first condition with a rising slope, ψ(a) = f(a) − a·decrease leads the way.
    const lower = (by: number) => (point: LinePoint) => ({
      step: point.step,
      value: point.value - by * point.step,
      slope: point.slope - by,
    });
    const auxiliary = !settled && trial.value <= best.value && !enough;
    const view = lower(auxiliary ? decrease : 0);
    const next = nextStep(view(best), view(other), view(trial), bracketed, low, high);
    step = next.step;
    bracketed = next.bracketed;
    const before = best;
    if (next.higher) other = trial;
    else {
      if (next.opposite) other = before;
      best = trial;
    }
    if (bracketed) {
      if (Math.abs(other.step - best.step) >= 0.66 * widthBefore) step = best.step + 0.5 * (other.step - best.step);
      widthBefore = width;
      width = Math.abs(other.step - best.step);
      low = Math.min(best.step, other.step);
      high = Math.max(best.step, other.step);
    } else {
      low = step + 1.1 * (step - best.step);
      high = step + 4 * (step - best.step);
    }
    step = Math.min(Math.max(step, 0), LARGEST_STEP);
    if (bracketed && (step <= low || step >= high || high - low <= XTOL * high)) step = best.step;
  }
  return undefined;
}

/** The next trial step from the interval's ends and the last trial: section 4 of the paper. */
function nextStep(best: LinePoint, other: LinePoint, trial: LinePoint, bracketed: boolean, low: number, high: number) {
  const higher = trial.value > best.value;
  const opposite = Math.sign(trial.slope) * Math.sign(best.slope) < 0;
  const nearer = (a: number, b: number, to: number) => Math.abs(a - to) < Math.abs(b - to);
  if (higher) {
    // Case 1: the cubic's minimiser, or half way to the quadratic's where that is nearer to the best step.
    const { step: cubic } = minimiseCubic(best, trial);
    const span = trial.step - best.step;
    const quadratic = best.step + (best.slope / ((best.value - trial.value) / span + best.slope) / 2) * span;
    const step = nearer(quadratic, cubic, best.step) ? cubic + (quadratic - cubic) / 2 : cubic;
    return { step, bracketed: true, higher, opposite };
  }
  const secant = trial.step + (trial.slope / (trial.slope - best.slope)) * (best.step - trial.step);
  if (opposite) {
    // Case 2: the farther of the cubic's minimiser and the secant step.
    const { step: cubic } = minimiseCubic(trial, best);
    const step = nearer(secant, cubic, trial.step) ? cubic : secant;
    return { step, bracketed: true, higher, opposite };
  }
  const ahead = trial.step > best.step;
  if (Math.abs(trial.slope) < Math.abs(best.slope)) {
    // Case 3: the cubic counts only where its minimiser lies beyond the trial.
    const { step: minimiser, ratio, bends } = minimiseCubic(trial, best);
    const cubic = ratio < 0 && bends ? minimiser : ahead ? high : low;
    if (!bracketed) {
      const step = nearer(secant, cubic, trial.step) ? cubic : secant;
      return { step: Math.min(Math.max(step, low), high), bracketed, higher, opposite };
    }
    const limit = trial.step + 0.66 * (other.step - trial.step);
    const step = nearer(cubic, secant, trial.step) ? cubic : secant;
    return { step: ahead ? Math.min(limit, step) : Math.max(limit, step), bracketed, higher, opposite };
  }
  // Case 4: the slope does not grow flatter.
  const step = bracketed ? minimiseCubic(trial, other).step : ahead ? high : low;
  return { step, bracketed, higher, opposite };
}

/** The minimiser of the cubic with these values and slopes at a and b, also as (minimiser − a) / (b − a). */
function minimiseCubic(a: LinePoint, b: LinePoint): { step: number; ratio: number; bends: boolean } {
  const span = b.step - a.step;
  const theta = (3 * (a.value - b.value)) / span + a.slope + b.slope;
  const scale = Math.max(Math.abs(theta), Math.abs(a.slope), Math.abs(b.slope));
  const root = scale * Math.sqrt(Math.max(0, (theta / scale) ** 2 - (a.slope / scale) * (b.slope / scale)));
  const gamma = span < 0 ? -root : root;
  const ratio = (gamma - a.slope + theta) / (gamma - a.slope + gamma + b.slope);
  return { step: a.step + ratio * span, ratio, bends: gamma !== 0 };
}
