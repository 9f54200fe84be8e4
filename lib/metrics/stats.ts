/** Spread of one number over modes. */
export interface Summary {
  n: number;
  mean: number;
  /** Sample standard deviation (n − 1); null for a single value, which has none. */
  std: number | null;
  min: number;
  max: number;
}

/** Mean, sample standard deviation (n − 1; two passes, so that no digits cancel), minimum and maximum. */
export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError('summarize needs at least one value.');
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    n,
    mean,
    std: n > 1 ? Math.sqrt(squares / (n - 1)) : null,
    min: Math.min(...values),
    max: Math.max(...values),
  };
}
