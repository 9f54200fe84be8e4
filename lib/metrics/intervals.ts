import {
  type ConventionName,
  MEASURE_NAMES,
  type MeasureName,
  type MeasureOptions,
  measureCounts,
  SET_NAMES,
} from './conventions.js';
import { buildCurve, type Counts, type Curve } from './curve.js';
import { type Interval, percentileInterval, type Resampler } from './resampler.js';

/** Each measure in each resample. // [resamples] */
export type ResampledMeasures = Record<MeasureName, Float64Array>;

export interface ResampleOptions extends MeasureOptions {
  /** Names of the two sets: whatever has the same names is resampled in the same way. */
  sets: { in: string; out: string };
  resampler: Resampler;
}

/**
 * The measures of one pair of score vectors in each resample; both sides are resampled on their own. The scores are
 * sorted once: a resample is one pass over them in that order, O(n_in + n_out).
 */
export class PairResampling {
  readonly values: ResampledMeasures;
  private readonly curve: Curve;
  private readonly order: Order;
  /** Multiplicities of the InD images, then of the OoD images, of the resample at hand. */
  private readonly times: Uint8Array;
  private readonly tp: Float64Array;
  private readonly fp: Float64Array;
  private readonly convention: ConventionName;

  /** @throws ModeEnsembleError E_NUMERIC as measure() */
  constructor(
    inScores: Float64Array,
    outScores: Float64Array,
    private readonly options: ResampleOptions,
  ) {
    this.convention = options.convention ?? 'reference';
    this.curve = buildCurve(inScores, outScores, options.names ?? SET_NAMES);
    this.order = orderOf(this.curve, inScores, outScores);
    this.times = new Uint8Array(inScores.length + outScores.length);
    // One place more than thresholds: the loop writes ahead of what it keeps.
    this.tp = new Float64Array(this.curve.thresholds.length + 1);
    this.fp = new Float64Array(this.curve.thresholds.length + 1);
    const { resamples } = options.resampler;
    this.values = recordOf(() => new Float64Array(resamples));
  }

  /** How many images a resample passes over. */
  get images(): number {
    return this.times.length;
  }

  /** Measures resamples `from` to `to` − 1; a long bootstrap is done in pieces so that others get a turn. */
  run(from = 0, to = this.options.resampler.resamples): void {
    for (let resample = from; resample < to; resample++) {
      const found = measureCounts(this.counts(resample), this.convention);
      for (const name of MEASURE_NAMES) this.values[name][resample] = found[name];
    }
  }

  /** The curve of one resample; without branches, since whether an image was drawn cannot be foreseen. */
  private counts(resample: number): Counts {
    const { times, tp, fp } = this;
    const { source, isOut, isLast } = this.order;
    const { sets, resampler } = this.options;
    const { positives, negatives } = this.curve;
    times.set(resampler.multiplicities(sets.in, positives, resample));
    times.set(resampler.multiplicities(sets.out, negatives, resample), positives);
    let [k, all, wrongly, counted] = [0, 0, 0, 0];
    for (let i = 0; i < source.length; i++) {
      const drawn = times[source[i] as number] as number;
      all += drawn;
      wrongly += drawn & -(isOut[i] as number);
      tp[k] = all - wrongly;
      fp[k] = wrongly;
      // The next threshold begins unless it is the same score, or one that no image of the resample has.
      const ends = (isLast[i] as number) & ((counted - all) >>> 31);
      k += ends;
      counted += (all - counted) & -ends;
    }
    return { positives, negatives, tp: tp.subarray(0, k), fp: fp.subarray(0, k) };
  }
}

/** Images in the order of a curve: from the highest score to the lowest. */
interface Order {
  /** Places in the InD scores followed by the OoD scores. // [n_in + n_out] */
  source: Int32Array;
  isOut: Uint8Array;
  /** The next image has another score. */
  isLast: Uint8Array;
}

/** A counting sort, since the thresholds are sorted already: O(n log n) for finding each score's threshold. */
function orderOf({ thresholds, tp, fp }: Curve, inScores: Float64Array, outScores: Float64Array): Order {
  const size = inScores.length + outScores.length;
  const order: Order = { source: new Int32Array(size), isOut: new Uint8Array(size), isLast: new Uint8Array(size) };
  const next = new Int32Array(thresholds.length);
  for (let k = 0; k < thresholds.length; k++) {
    const end = (tp[k] as number) + (fp[k] as number);
    order.isLast[end - 1] = 1;
    if (k + 1 < thresholds.length) next[k + 1] = end;
  }
  const put = (scores: Float64Array, offset: number, isOut: 0 | 1) => {
    for (let i = 0; i < scores.length; i++) {
      const score = scores[i] as number;
      let [low, high] = [0, thresholds.length - 1];
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((thresholds[middle] as number) > score) low = middle + 1;
        else high = middle;
      }
      const at = next[low] as number;
      order.source[at] = offset + i;
      order.isOut[at] = isOut;
      next[low] = at + 1;
    }
  };
  put(inScores, 0, 0);
  put(outScores, inScores.length, 1);
  return order;
}

/**
 * Bootstrap intervals of every measure of one pair.
 *
 * @example
 * measureIntervals(inScores, outScores, { sets: { in: 'CIFAR-10', out: 'SVHN' }, resampler: new Resampler(7) }).auroc
 */
export function measureIntervals(
  inScores: Float64Array,
  outScores: Float64Array,
  options: ResampleOptions & { level?: number | undefined },
): Record<MeasureName, Interval> {
  const pair = new PairResampling(inScores, outScores, options);
  pair.run();
  return recordOf((name) => percentileInterval(pair.values[name], options.level));
}

/** One value for each measure. */
export function recordOf<Value>(make: (name: MeasureName) => Value): Record<MeasureName, Value> {
  return Object.fromEntries(MEASURE_NAMES.map((name) => [name, make(name)])) as Record<MeasureName, Value>;
}
