import type { Agreement } from '../run/types.js';

/** The shares of all pairs of different modes, each pair once. */
export function pairsOf({ share }: Pick<Agreement, 'share'>): number[] {
  return share.flatMap((row, i) => row.slice(i + 1));
}
