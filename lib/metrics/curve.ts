import { ModeEnsembleError } from '../config/errors.js';

/**
 * The one core of every threshold metric: how many images are accepted as in-distribution at each distinct score, from
 * the highest down. All counts are exact integers in float64, so ties are exact and nothing depends on the order of
 * equal scores. Every metric reads these counts alone, which is what lets a resample be measured without sorting.
 */
export interface Counts {
  /** Number of InD scores, n_in ≥ 1. */
  positives: number;
  /** Number of OoD scores, n_out ≥ 1. */
  negatives: number;
  /** InD scores at or above the i-th threshold; the last one is `positives`. // [K] */
  tp: Float64Array;
  /** OoD scores at or above the i-th threshold; the last one is `negatives`. // [K] */
  fp: Float64Array;
}

export interface Curve extends Counts {
  /** Distinct scores, descending. // [K] */
  thresholds: Float64Array;
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
  const pos = new Float64Array(inScores).sort();
  const neg = new Float64Array(outScores).sort();
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
