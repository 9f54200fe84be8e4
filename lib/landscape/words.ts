/** Sentences about surfaces, for captions and terminals. */
import type { LabelRule } from '../native/contract.js';
import type { PointSet } from './points.js';

export const LABEL_WORDS: Readonly<Record<LabelRule, string>> = {
  own: 'their own labels',
  prediction: "the mode's own predictions as labels",
  random: 'random labels that stay',
  uniform: 'the uniform target',
};

export function describeSets(sets: readonly PointSet[], counts: readonly number[]): string {
  return sets
    .map(({ name, kind, labels }, i) => {
      const what = kind === 'in' ? 'InD' : 'OoD';
      return `${name} (${what}, ${counts[i]} images, ${LABEL_WORDS[labels]})`;
    })
    .join('; ');
}

/** What is said of points without a number; nothing where there are none. */
export function describeGaps(gaps: number): string {
  if (gaps === 0) return '';
  return ` ${gaps} ${gaps === 1 ? 'loss is' : 'losses are'} not finite and shown as ${gaps === 1 ? 'a gap' : 'gaps'}.`;
}

export function gapsIn(losses: Float64Array): number {
  return losses.reduce((count, loss) => count + (Number.isNaN(loss) ? 1 : 0), 0);
}
