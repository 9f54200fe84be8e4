/** What detectors will ask of the networks themselves, made in the pass that makes the features. */
import type { DataSet } from '../data/open.js';
import { getDetector, resolveParameters, type StageGaussians } from '../detectors/index.js';
import { FeatureFile } from '../features/store.js';
import type { StageScoresOutput } from '../native/contract.js';
import type { StageHooks } from './extract.js';
import type { StoredNetworks } from './networks.js';
import type { DetectorChoice } from './types.js';

/**
 * The files of one mode and one set that are missing.
 *
 * @param train the mode's plain pass of the training data
 */
export type Beside = (set: DataSet, member: string, train: string | undefined) => Promise<StageScoresOutput[]>;

/** Steps of single modes; those of ensembles go through all members at once and have jobs of their own. */
export function besideOf(detectors: readonly DetectorChoice[], networks: StoredNetworks, hooks: StageHooks): Beside {
  const own = { signal: hooks.signal, onLog: hooks.onLog };
  const fitted = new Map<string, Promise<StageGaussians>>();
  return async (set, member, train) => {
    const outputs = new Map<string, StageScoresOutput>();
    for (const { name, parameters } of detectors) {
      const detector = getDetector(name);
      if (!('scoreSets' in detector) || !detector.magnitudeOf || train === undefined) continue;
      const magnitude = await detector.magnitudeOf([member], resolveParameters(detector, parameters), networks);
      if (magnitude === 0) continue;
      const fit = async () => networks.gaussians([member], [await FeatureFile.open(train)], own);
      const gaussians = fitted.get(member) ?? fit();
      fitted.set(member, gaussians);
      const whole = { first: 0, count: 0, magnitudes: [magnitude], adversarial: null };
      const output = await networks.missingScores({ gaussians: await gaussians, set: set.name, ...whole });
      if (output) outputs.set(output.path, output);
    }
    return [...outputs.values()];
  };
}
