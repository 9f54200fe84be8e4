/** Scores of a detector that scores whole sets, for one subset of modes. */

import type { Parameters } from '../detectors/index.js';
import { resolveParameters, type Services, type SetDetector } from '../detectors/index.js';
import { type FeatureFile, PLAIN } from '../features/index.js';
import type { JobHooks } from '../native/job.js';
import { type FeatureSet, filesOf } from './open-sets.js';

export interface SubsetTask {
  detector: SetDetector;
  parameters: Parameters;
  members: readonly string[];
  /** Places of the members in the files of the sets. */
  places: readonly number[];
  /** The test set first, then the OoD sets. */
  sets: readonly FeatureSet[];
  /** Where the detector learns from training data. */
  train: FeatureSet | undefined;
  threads: number;
  hooks: Pick<JobHooks, 'signal' | 'onProgress' | 'onLog'>;
  services: Services;
}

/** @returns one array [N] for each of the sets, larger = in-distribution */
export function scoreSubset(task: SubsetTask): Promise<Float64Array[]> {
  const { detector, members, places, sets, train, threads, hooks, services } = task;
  const parameters = resolveParameters(detector, task.parameters);
  const pick = (set: FeatureSet) => places.map((place) => filesOf(set, PLAIN)[place] as FeatureFile);
  return detector.scoreSets({
    members,
    sets: sets.map((set) => ({ name: set.name, count: set.count, files: pick(set) })),
    train: train && detector.needs(parameters).fit === 'train' ? pick(train) : [],
    parameters,
    threads,
    hooks,
    services,
  });
}
