import { ModeEnsembleError } from '../config/errors.js';
import type { Resampler } from './resampler.js';

export interface Accuracy {
  n: number;
  /** Fractions. */
  top1: number;
  /** Absent where there are fewer than six classes, since it would say nothing. */
  top5?: number | undefined;
}

/** A label that so many classes come before is in no count. */
const LAST_PLACE = 5;

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
  return accuracyOf(labelPlaces(logits, labels, classes, source), classes);
}

/**
 * How many classes come before each image's label, at most 5: all that accuracy needs to know of an image, and what
 * a resample counts.
 *
 * @param first place of the first row in the set, for errors
 * @throws as accuracy // [n]
 */
export function labelPlaces(
  logits: Float64Array | Float32Array,
  labels: Int32Array,
  classes: number,
  source = 'the test set',
  first = 0,
): Uint8Array {
  const n = labels.length;
  if (n === 0 || logits.length !== n * classes) {
    throw new ModeEnsembleError(
      'E_DATA',
      `Accuracy on ${source}: expected ${n} × ${classes} logits with at least one row, found ${logits.length} numbers.`,
    );
  }
  const places = new Uint8Array(n);
  for (let i = 0; i < n; i++) {
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
    places[i] = Math.min(before, LAST_PLACE);
  }
  return places;
}

/** Accuracy from the places of labelPlaces. */
export function accuracyOf(places: Uint8Array, classes: number): Accuracy {
  return counted(places, classes, () => 1);
}

/** Accuracy in each resample; `top5` is absent as in Accuracy. // [resamples] */
export interface ResampledAccuracy {
  top1: Float64Array;
  top5?: Float64Array | undefined;
}

/**
 * Accuracy in each resample of a set.
 *
 * @param set its name, which says with Resampler's seed which images are drawn
 */
export function resampleAccuracy(
  places: Uint8Array,
  classes: number,
  set: string,
  resampler: Resampler,
): ResampledAccuracy {
  const top1 = new Float64Array(resampler.resamples);
  const top5 = new Float64Array(resampler.resamples);
  for (let resample = 0; resample < resampler.resamples; resample++) {
    const times = resampler.multiplicities(set, places.length, resample);
    const found = counted(places, classes, (i) => times[i] as number);
    top1[resample] = found.top1;
    top5[resample] = found.top5 ?? Number.NaN;
  }
  return hasTop5(classes) ? { top1, top5 } : { top1 };
}

function counted(places: Uint8Array, classes: number, times: (i: number) => number): Accuracy {
  const n = places.length;
  let first = 0;
  let five = 0;
  for (let i = 0; i < n; i++) {
    const place = places[i] as number;
    if (place < 1) first += times(i);
    if (place < LAST_PLACE) five += times(i);
  }
  return hasTop5(classes) ? { n, top1: first / n, top5: five / n } : { n, top1: first / n };
}

function hasTop5(classes: number): boolean {
  return classes > 5;
}
