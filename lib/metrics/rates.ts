import type { Counts } from './curve.js';

/**
 * False-positive rate at the recall nearest `level`, as the paper's `get_measures` (fpr_and_fdr_at_recall) finds it: the
 * first minimum of |recall − level| from full recall downwards. So on equal distance the higher recall counts; among
 * thresholds of one recall the lowest, that is the largest FPR, except at full recall, where the search begins at the
 * highest such threshold. Distances are compared in float64 as there (for n_in = 10, 0.9 is nearer 0.95 than 1.0 is).
 */
export function fprAtNearestRecall(counts: Counts, level: number): number {
  const { tp, fp, positives, negatives } = counts;
  let i = tp.length - 1;
  while (i > 0 && tp[i - 1] === positives) i--;
  let best = Number.POSITIVE_INFINITY;
  let fpr = Number.NaN;
  for (; i >= 0; i--) {
    const recall = (tp[i] as number) / positives;
    const distance = Math.abs(recall - level);
    if (distance < best) {
      best = distance;
      fpr = (fp[i] as number) / negatives;
    }
    // From here on recall only moves away.
    if (recall < level) break;
  }
  return fpr;
}

/**
 * False-positive rate strictly above a quantile of the InD scores, as the reference's kNN script takes it: the threshold
 * is the InD score at place round(share·n_in), counted from 0 from the lowest, with Python's round (half to even).
 * Source: `get_curve` in utils_knn/metrics.py of the paper's code, after util/metrics.py of deeplearning-wisc/knn-ood.
 */
export function fprAboveQuantile({ tp, fp, positives, negatives }: Counts, share: number): number {
  // The score at that place is the first at or above which so many InD scores lie.
  const atLeast = positives - roundHalfEven(share * positives);
  let i = 0;
  while ((tp[i] as number) < atLeast) i++;
  return i === 0 ? 0 : (fp[i - 1] as number) / negatives;
}

/** Python's round() of a number of at least 0. */
function roundHalfEven(value: number): number {
  const whole = Math.floor(value);
  const rest = value - whole;
  if (rest !== 0.5) return rest < 0.5 ? whole : whole + 1;
  return whole % 2 === 0 ? whole : whole + 1;
}

/**
 * Share of InD images taken for OoD at the first threshold, from the lowest score up, at which at least `level` of the
 * OoD images are: OoD is positive here. Every distinct score is a threshold. Source: `auc_and_fpr_recall` in
 * openood/evaluators/metrics.py of OpenOOD v1.5; its roc_curve leaves out thresholds that lie on a straight line between
 * their neighbours, which can only matter where several successive scores are tied in the same proportion.
 */
export function fprAtFirstRecall({ tp, fp, positives, negatives }: Counts, level: number): number {
  for (let i = tp.length - 1; i > 0; i--) {
    const below = negatives - (fp[i - 1] as number);
    if (below / negatives >= level) return (positives - (tp[i - 1] as number)) / positives;
  }
  return 1;
}

/**
 * Detection error: min over thresholds of (missed InD + accepted OoD) / (n_in + n_out), the share of all images on the
 * wrong side of the best threshold; accepting nothing and accepting everything count as thresholds. Source: `DTERR` of
 * the reference's kNN script. The images are counted as they are; the sides are not weighted to be equal.
 */
export function detectionError({ tp, fp, positives, negatives }: Counts): number {
  let least = positives;
  for (let i = 0; i < tp.length; i++) {
    const wrong = positives - (tp[i] as number) + (fp[i] as number);
    if (wrong < least) least = wrong;
  }
  return least / (positives + negatives);
}
