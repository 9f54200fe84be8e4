import type { Addon } from './contract.js';

/**
 * Until it is disposed of, the networks and the large blocks of memory of an extraction stay for the next one, where it has
 * the same modes: for the sets of one evaluation.
 */
export function keepBetweenJobs(addon: Addon): Disposable {
  const kept = addon.keepBetweenJobs();
  return { [Symbol.dispose]: () => kept.release() };
}
