import { ModeEnsembleError } from '../config/errors.js';

export interface Accuracy {
  n: number;
  /** Fractions. */
  top1: number;
  /** Absent where there are fewer than six classes, since it would say nothing. */
  top5?: number | undefined;
}

/**
 * Top-1 and top-5 accuracy. An image counts in top-k when fewer than k classes come before its label, larger logit
 * first and, at equal logits, the lower class first; top-1 is thus that of argmax.
 *
 * @param logits row-major // [n, classes]
 * @param labels class indices // [n]
 * @throws ModeEnsembleError E_DATA naming `source` when a label is no class or the sizes do not fit; E_NUMERIC on NaN
 */
export function accuracy(
  logits: Float64Array | Float32Array,
  labels: Int32Array,
  classes: number,
  source = 'the test set',
): Accuracy {
  const n = labels.length;
  if (n === 0 || logits.length !== n * classes) {
    throw new ModeEnsembleError(
      'E_DATA',
      `Accuracy on ${source}: expected ${n} × ${classes} logits with at least one row, found ${logits.length} numbers.`,
    );
  }
  let first = 0;
  let five = 0;
  for (let i = 0; i < n; i++) {
    const label = labels[i] as number;
    if (label < 0 || label >= classes) {
      throw new ModeEnsembleError(
        'E_DATA',
        `Label ${label} of image ${i} of ${source} is not a class of the network (0 to ${classes - 1}).`,
      );
    }
    const own = logits[i * classes + label] as number;
    let before = 0;
    for (let c = 0; c < classes; c++) {
      const z = logits[i * classes + c] as number;
      if (Number.isNaN(z)) {
        throw new ModeEnsembleError('E_NUMERIC', `Logit ${c} of image ${i} of ${source} is NaN.`);
      }
      if (z > own || (z === own && c < label)) before++;
    }
    if (before < 1) first++;
    if (before < 5) five++;
  }
  return classes > 5 ? { n, top1: first / n, top5: five / n } : { n, top1: first / n };
}
