import type { PassOptions } from '../native/contract.js';

/** What is made of each image and a mode, and stored in a feature file of its own; see PassOptions. */
export type Pass = Readonly<PassOptions>;

/** Logits, stages and penultimate feature of the image as it is. */
export const PLAIN: Pass = { kind: 'plain', temperature: 1, magnitude: 0, gradient: 'own' };

/** Logits after the rank-1 parts of the last stages were taken away. */
export const RANK1: Pass = { kind: 'rank1', temperature: 1, magnitude: 0, gradient: 'own' };

/** Logits of the image after a step against the gradient; without a step it is the plain pass. */
export function perturbed(temperature: number, magnitude: number, gradient: Pass['gradient'] = 'own'): Pass {
  return magnitude === 0 ? PLAIN : { kind: 'perturbed', temperature, magnitude, gradient };
}

/** Equal for equal passes; names a pass's file among those of a mode and a set. */
export function passId({ kind, temperature, magnitude, gradient }: Pass): string {
  return kind === 'perturbed' ? `${kind} ${temperature} ${magnitude} ${gradient}` : kind;
}

/** One of each. */
export function distinctPasses(passes: readonly Pass[]): Pass[] {
  return [...new Map(passes.map((pass) => [passId(pass), pass])).values()];
}
