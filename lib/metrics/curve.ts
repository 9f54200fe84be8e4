import { ModeEnsembleError } from '../config/errors.js';

/**
 * The one core of every threshold metric: the scores of both sets collapsed to their distinct values, from the highest
 * down. Accepting everything at or above `thresholds[i]` as in-distribution accepts `tp[i]` InD and `fp[i]` OoD images.
 * All counts are exact integers in float64, so ties are exact and nothing depends on the order of equal scores.
 */
export interface Curve {
  /** Number of InD scores, n_in ≥ 1. */
  positives: number;
  /** Number of OoD scores, n_out ≥ 1. */
  negatives: number;
  /** Distinct scores, descending. // [K] */
  thresholds: Float64Array;
  /** InD scores ≥ thresholds[i]; the last one is `positives`. // [K] */
  tp: Float64Array;
  /** OoD scores ≥ thresholds[i]; the last one is `negatives`. // [K] */
  fp: Float64Array;
}

/**
 * Builds the curve in O(n log n).
 *
 * @param inScores scores of the InD set, larger = in-distribution // [n_in]
 * @param outScores scores of the OoD set // [n_out]
 * @param names what an error calls the two sets
 * @throws ModeEnsembleError E_NUMERIC when a side is empty or a score is NaN or infinite (names the set and the index)
 */
export function buildCurve(inScores: Float64Array, outScores: Float64Array, names: { in: string; out: string }): Curve {
  checkScores(inScores, names.in);
  checkScores(outScores, names.out);
  const pos = Float64Array.from(inScores).sort();
  const neg = Float64Array.from(outScores).sort();
  const size = pos.length + neg.length;
  const thresholds = new Float64Array(size);
  const tp = new Float64Array(size);
  const fp = new Float64Array(size);
  let i = pos.length;
  let j = neg.length;
  let k = 0;
  while (i > 0 || j > 0) {
    const a = i > 0 ? (pos[i - 1] as number) : Number.NEGATIVE_INFINITY;
    const b = j > 0 ? (neg[j - 1] as number) : Number.NEGATIVE_INFINITY;
    const value = Math.max(a, b);
    while (i > 0 && pos[i - 1] === value) i--;
    while (j > 0 && neg[j - 1] === value) j--;
    thresholds[k] = value;
    tp[k] = pos.length - i;
    fp[k] = neg.length - j;
    k++;
  }
  return {
    positives: pos.length,
    negatives: neg.length,
    thresholds: thresholds.slice(0, k),
    tp: tp.slice(0, k),
    fp: fp.slice(0, k),
  };
}

function checkScores(scores: Float64Array, name: string): void {
  if (scores.length === 0) {
    throw new ModeEnsembleError(
      'E_NUMERIC',
      `The scores of ${name} are empty; a metric needs at least one image a side.`,
    );
  }
  for (let i = 0; i < scores.length; i++) {
    if (!Number.isFinite(scores[i])) {
      throw new ModeEnsembleError('E_NUMERIC', `Score ${i} of ${name} is ${scores[i]}; expected a finite number.`);
    }
  }
}

/**
 * Area under the ROC curve = P(InD score > OoD score) + ½ P(equal) (Mann–Whitney). The sum is of integers and thus
 * exact up to 2·n_in·n_out < 2^53; one division rounds.
 */
export function auroc(curve: Curve): number {
  let twice = 0;
  let lastTp = 0;
  let lastFp = 0;
  for (let i = 0; i < curve.tp.length; i++) {
    const tp = curve.tp[i] as number;
    const fp = curve.fp[i] as number;
    twice += (tp - lastTp) * (2 * curve.negatives - fp - lastFp);
    lastTp = tp;
    lastFp = fp;
  }
  return twice / (2 * curve.positives * curve.negatives);
}

/**
 * Average precision Σ (R_i − R_{i−1})·P_i over the distinct scores, as scikit-learn's average_precision_score.
 * `in`: InD positive, scores as they are; `out`: OoD positive, scores negated.
 */
export function averagePrecision(curve: Curve, positive: 'in' | 'out'): number {
  const { tp, fp, positives, negatives } = curve;
  const count = tp.length;
  let sum = 0;
  if (positive === 'in') {
    let last = 0;
    for (let i = 0; i < count; i++) {
      const hits = tp[i] as number;
      if (hits > last) sum += (hits - last) * (hits / (hits + (fp[i] as number)));
      last = hits;
    }
    return sum / positives;
  }
  // Negated scores: walk from the lowest score up; what is at or below threshold i is what is not above it.
  let last = 0;
  for (let i = count - 1; i >= 0; i--) {
    const hits = negatives - (i > 0 ? (fp[i - 1] as number) : 0);
    const misses = positives - (i > 0 ? (tp[i - 1] as number) : 0);
    if (hits > last) sum += (hits - last) * (hits / (hits + misses));
    last = hits;
  }
  return sum / negatives;
}

/**
 * False-positive rate at the recall nearest `level`, as the paper's `get_measures` (fpr_and_fdr_at_recall) finds it: the
 * first minimum of |recall − level| from full recall downwards. So on equal distance the higher recall counts; among
 * thresholds of one recall the lowest, that is the largest FPR, except at full recall, where the search begins at the
 * highest such threshold. Distances are compared in float64 as there (for n_in = 10, 0.9 is nearer 0.95 than 1.0 is).
 */
export function fprAtNearestRecall(curve: Curve, level: number): number {
  const { tp, fp, positives, negatives } = curve;
  let i = tp.length - 1;
  while (i > 0 && tp[i - 1] === positives) i--;
  let best = Number.POSITIVE_INFINITY;
  let fpr = Number.NaN;
  for (; i >= 0; i--) {
    const distance = Math.abs((tp[i] as number) / positives - level);
    if (distance < best) {
      best = distance;
      fpr = (fp[i] as number) / negatives;
    }
  }
  return fpr;
}
