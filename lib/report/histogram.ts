/** Shares of scores in bins of equal width. */
export interface Histogram {
  /** Edges of the bins, ascending. // [bins + 1] */
  edges: number[];
  /** Share of the InD and of the OoD scores in each bin; each adds up to 1. // [bins] */
  in: number[];
  out: number[];
}

/**
 * The range that charts of several sets have in common: without the lowest and highest 0.5 % of each set, so that a
 * few far outliers do not press everything into one bin.
 */
export function scoreRange(sets: readonly Float64Array[]): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const set of sets) {
    const sorted = Float64Array.from(set).sort();
    const skip = Math.floor(sorted.length / 200);
    low = Math.min(low, sorted[skip] as number);
    high = Math.max(high, sorted[sorted.length - 1 - skip] as number);
  }
  if (low < high) return [low, high];
  const margin = Math.max(Math.abs(low) / 100, 0.5);
  return [low - margin, high + margin];
}

/** Scores outside of the range count in the first and the last bin. */
export function histogram(
  inScores: Float64Array,
  outScores: Float64Array,
  [low, high]: readonly [number, number],
  bins = 48,
): Histogram {
  const edges = Array.from({ length: bins + 1 }, (_, i) => low + ((high - low) * i) / bins);
  const shares = (scores: Float64Array) => {
    const counts = new Array<number>(bins).fill(0);
    for (const score of scores) {
      const bin = Math.min(bins - 1, Math.max(0, Math.floor(((score - low) / (high - low)) * bins)));
      counts[bin] = (counts[bin] as number) + 1;
    }
    return counts.map((count) => count / scores.length);
  };
  return { edges, in: shares(inScores), out: shares(outScores) };
}

/** The score that 95 % of the InD images reach. */
export function inThreshold(inScores: Float64Array): number {
  const sorted = Float64Array.from(inScores).sort();
  return sorted[Math.floor(0.05 * sorted.length)] as number;
}
