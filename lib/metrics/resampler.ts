import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { drawMultiplicities } from './random.js';

/** A bootstrap over images: what an interval depends on besides the scores. */
export interface IntervalSettings {
  resamples: number;
  /** Share of the resamples that lie in the interval, above 0 and below 1. */
  level: number;
  seed: number;
}

export const DEFAULT_INTERVALS: Readonly<IntervalSettings> = { resamples: 1000, level: 0.95, seed: 0 };

/** Lower and upper end. */
export type Interval = [low: number, high: number];

/** How much better an ensemble is than what it is set against: above 0, it is better. A fraction. */
export interface Gain {
  gain: number;
  /** Ends of the paired interval, where intervals were asked for. */
  lo?: number;
  hi?: number;
}

/** Multiplicities of a set that are kept; where a set needs more they are drawn again each time. */
const MOST_BYTES = 128 * 2 ** 20;
/** The in-distribution set and the OoD set it is set against. */
const SETS_KEPT = 2;

/**
 * Draws images with replacement. Which ones depends on (seed, set, number of the resample) alone, so every mode, ensemble
 * and detector sees the same images, and differences between them are paired.
 */
export class Resampler {
  private readonly tables = new Map<string, Uint8Array>();
  private readonly sizes = new Map<string, number>();

  constructor(
    readonly seed: number = DEFAULT_INTERVALS.seed,
    readonly resamples: number = DEFAULT_INTERVALS.resamples,
  ) {
    if (!Number.isSafeInteger(resamples) || resamples < 1) {
      throw new ConfigError(`Resamples: expected a whole number of at least 1, found ${resamples}.`);
    }
  }

  /**
   * How often each image of a set is in a resample.
   *
   * @param set its name: the key of its images
   * @param count images of the set
   * @returns not to be written to; valid until the next call // [count], adds up to count
   * @throws ModeEnsembleError E_DATA where the set had another number of images before
   */
  multiplicities(set: string, count: number, resample: number): Uint8Array {
    const known = this.sizes.get(set);
    if (known !== undefined && known !== count) {
      throw new ModeEnsembleError('E_DATA', `Resamples of ${set}: expected ${known} images as before, found ${count}.`);
    }
    this.sizes.set(set, count);
    if (count * this.resamples > MOST_BYTES) return this.draw(set, resample, new Uint8Array(count));
    const table = this.table(set, count);
    return table.subarray(resample * count, (resample + 1) * count);
  }

  private table(set: string, count: number): Uint8Array {
    let table = this.tables.get(set);
    if (table) {
      // The one used last stands last; the first one gives way.
      this.tables.delete(set);
    } else {
      if (this.tables.size === SETS_KEPT) this.tables.delete(this.tables.keys().next().value as string);
      table = new Uint8Array(count * this.resamples);
      for (let i = 0; i < this.resamples; i++) this.draw(set, i, table.subarray(i * count, (i + 1) * count));
    }
    this.tables.set(set, table);
    return table;
  }

  private draw(set: string, resample: number, tally: Uint8Array): Uint8Array {
    drawMultiplicities(JSON.stringify(['bootstrap', this.seed, set, resample]), tally);
    return tally;
  }
}

/**
 * Percentile interval: the (1 − level)/2 and (1 + level)/2 quantiles of the resampled values, linear between neighbours
 * (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3; quantiles as numpy's default).
 */
export function percentileInterval(values: Float64Array, level: number = DEFAULT_INTERVALS.level): Interval {
  if (values.length === 0 || !(level > 0 && level < 1)) {
    throw new ConfigError(
      `An interval: expected values and a level between 0 and 1, found ${values.length} values and level ${level}.`,
    );
  }
  const sorted = new Float64Array(values).sort();
  const quantile = (share: number) => {
    const place = share * (sorted.length - 1);
    const low = Math.floor(place);
    const [a, b] = [sorted[low] as number, sorted[Math.min(low + 1, sorted.length - 1)] as number];
    return a + (b - a) * (place - low);
  };
  return [quantile((1 - level) / 2), quantile((1 + level) / 2)];
}

/**
 * How much better an ensemble is than its own modes, in each resample: the mean of the modes' values minus the
 * ensemble's where less is better, the other way round where more is. Above 0, the ensemble is better.
 *
 * @param members vectors of the same resamples, at least one // M × [resamples]
 * @throws ModeEnsembleError E_DATA where lengths differ
 */
export function pairedGain(
  ensemble: Float64Array,
  members: readonly Float64Array[],
  better: 'lower' | 'higher',
): Float64Array {
  const other = members.find(({ length }) => length !== ensemble.length);
  if (other || members.length === 0) {
    const found = other ? `${other.length} numbers` : 'no member';
    throw new ModeEnsembleError('E_DATA', `A paired difference: expected ${ensemble.length} numbers, found ${found}.`);
  }
  return ensemble.map((value, i) => {
    const mean = members.reduce((sum, member) => sum + (member[i] as number), 0) / members.length;
    return better === 'lower' ? mean - value : value - mean;
  });
}
