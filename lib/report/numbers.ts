import { type Gain, type IntervalSettings, summarize } from '../metrics/index.js';

/** A fraction in percent with two places; a dash where there is none. */
export function percent(value: number | undefined): string {
  return value === undefined ? '–' : (100 * value).toFixed(2);
}

/** `12.34 ± 0.56`, in percent; without the deviation where there is one value only. */
export function meanAndStd(values: readonly number[]): string {
  const { mean, std } = summarize(values);
  return std === null ? percent(mean) : `${percent(mean)} ± ${percent(std)}`;
}

/** `10.00–23.00`, in percent. */
export function lowestToHighest(values: readonly number[]): string {
  const { min, max } = summarize(values);
  return `${percent(min)}–${percent(max)}`;
}

/** ` [10.1, 12.9]`, in percent with one place, which is about what a thousand resamples can tell; empty without ends. */
export function between(low: number | undefined, high: number | undefined, places = one): string {
  return low === undefined || high === undefined ? '' : ` [${places(low)}, ${places(high)}]`;
}

/** `+1.23` in points, with its interval where there is one. */
export function points({ gain, lo, hi }: Gain): string {
  return `${signed(gain, 2)}${between(lo, hi, (value) => signed(value, 1))}`;
}

function one(value: number): string {
  return (100 * value).toFixed(1);
}

function signed(value: number, places: number): string {
  const text = (100 * value).toFixed(places);
  // No sign where nothing is left of the number.
  if (Number(text) === 0) return (0).toFixed(places);
  return value > 0 ? `+${text}` : text;
}

export const GAIN_MEANING =
  'over mean, over best: points by which the ensemble is better than the mean and than the best of its own modes';

/** `95 % bootstrap intervals over images (1000 resamples, seed 0)`. */
export function describeIntervals({ level, resamples, seed }: IntervalSettings): string {
  return `${Number((100 * level).toPrecision(6))} % bootstrap intervals over images (${resamples} resamples, seed ${seed})`;
}
