import { ModeEnsembleError } from '../config/errors.js';

export interface Accuracy {
  n: number;
  /** Fractions. */
  top1: number;
  /** Absent where there are fewer than six classes, since it would say nothing. */
  top5?: number | undefined;
}

/**
 * Top-1 and top-5 accuracy, see labelRanks.
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
  return accuracyOfRanks(labelRanks(logits, labels, classes, source), classes);
}

/**
 * For each image the number of classes that come before its label, larger logit first and, at equal logits, the lower class
 * first: 0 where the label is what argmax gives.
 *
 * @param logits row-major // [n, classes]
 * @param labels class indices // [n]
 * @param first place of the first row in the set, for errors
 * @throws ModeEnsembleError E_DATA naming `source` when a label is no class or the sizes do not fit; E_NUMERIC on NaN
 */
export function labelRanks(
  logits: Float64Array | Float32Array,
  labels: Int32Array,
  classes: number,
  source = 'the test set',
  first = 0,
): Float64Array {
  const n = labels.length;
  if (n === 0 || logits.length !== n * classes) {
    throw new ModeEnsembleError(
      'E_DATA',
      `Accuracy on ${source}: expected ${n} × ${classes} logits with at least one row, found ${logits.length} numbers.`,
    );
  }
  return Float64Array.from({ length: n }, (_, i) => {
    const label = labels[i] as number;
    if (label < 0 || label >= classes) {
      throw new ModeEnsembleError(
        'E_DATA',
        `Label ${label} of image ${first + i} of ${source} is not a class of the network (0 to ${classes - 1}).`,
      );
    }
    const own = logits[i * classes + label] as number;
    let before = 0;
    for (let c = 0; c < classes; c++) {
      const z = logits[i * classes + c] as number;
      if (Number.isNaN(z)) {
        throw new ModeEnsembleError('E_NUMERIC', `Logit ${c} of image ${first + i} of ${source} is NaN.`);
      }
      if (z > own || (z === own && c < label)) before++;
    }
    return before;
  });
}

/** Top-1 and top-5: the shares of images whose label fewer than one and five classes come before. */
export function accuracyOfRanks(ranks: Float64Array, classes: number): Accuracy {
  const n = ranks.length;
  const share = (most: number) => ranks.reduce((hits, rank) => hits + (rank < most ? 1 : 0), 0) / n;
  return classes > 5 ? { n, top1: share(1), top5: share(5) } : { n, top1: share(1) };
}
