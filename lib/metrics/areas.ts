import type { Counts } from './curve.js';

/**
 * Area under the ROC curve = P(InD score > OoD score) + ½ P(equal) (Mann–Whitney). The sum is of integers and thus
 * exact up to 2·n_in·n_out < 2^53; one division rounds. It is the same in all conventions: the trapezoid over a curve
 * whose ties are repaired is this number, whichever side is positive.
 */
export function auroc(curve: Counts): number {
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
export function averagePrecision(counts: Counts, positive: 'in' | 'out'): number {
  const count = counts.tp.length;
  const total = positive === 'in' ? counts.positives : counts.negatives;
  let sum = 0;
  let last = 0;
  for (let step = 0; step < count; step++) {
    const hits = hitsAt(counts, positive, step);
    sum += (hits - last) * (hits / (hits + missesAt(counts, positive, step)));
    last = hits;
  }
  return sum / total;
}

/**
 * Trapezoid over the precision-recall curve: Σ (R_i − R_{i−1})·(P_i + P_{i−1})/2 over the distinct scores.
 *
 * @param start precision P_0 at recall 0, before the first score: a convention, since nothing is accepted there
 */
export function precisionTrapezoid(counts: Counts, positive: 'in' | 'out', start: 0 | 1): number {
  const count = counts.tp.length;
  const total = positive === 'in' ? counts.positives : counts.negatives;
  let twice = 0;
  let last = 0;
  let before: number = start;
  for (let step = 0; step < count; step++) {
    const hits = hitsAt(counts, positive, step);
    const precision = hits / (hits + missesAt(counts, positive, step));
    twice += (hits - last) * (precision + before);
    last = hits;
    before = precision;
  }
  return twice / (2 * total);
}

/** Images of the positive side among those accepted as positive after `step` thresholds, and of the other side. */
function hitsAt({ negatives, tp, fp }: Counts, positive: 'in' | 'out', step: number): number {
  return positive === 'in' ? (tp[step] as number) : negatives - above(fp, step);
}

function missesAt({ positives, tp, fp }: Counts, positive: 'in' | 'out', step: number): number {
  return positive === 'in' ? (fp[step] as number) : positives - above(tp, step);
}

/** With OoD positive the walk is from the lowest score up: what is at or below a threshold is what is not above it. */
function above(counts: Float64Array, step: number): number {
  const index = counts.length - 2 - step;
  return index < 0 ? 0 : (counts[index] as number);
}
