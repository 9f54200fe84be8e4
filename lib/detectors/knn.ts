import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { PLAIN } from '../features/pass.js';
import type { FeatureFile } from '../features/store.js';
import { numberOf, type SetDetector } from './detector.js';

/**
 * Minus the squared L2 distance of the normalised penultimate feature, f / (‖f‖₂ + 1e-10), to its k-th nearest among
 * the training features. Source: Sun et al., ICML 2022, arXiv 2204.06507; fusion: Fang et al., IJCV 2024: the members'
 * raw features are averaged first, then normalised. The search is exact and runs in native code; all sets go in one job,
 * so that the bank is read and fused once.
 */
export const knn: SetDetector = {
  name: 'knn',
  title: 'kNN',
  parameters: {
    k: {
      default: 50,
      suites: { imagenet: 1000 },
      min: 1,
      integer: true,
      description: 'which nearest training feature the distance is taken to',
    },
  },
  fusion: 'distance between means of the penultimate features over members, normalised after the mean',
  space: 'features',
  needs: () => ({ passes: [PLAIN], penultimate: true, stages: false, fit: 'train' }),
  scoreSets: async ({ sets, train, parameters, threads, hooks, services }) => {
    const k = numberOf(parameters, 'k');
    const bank = train[0]?.count ?? 0;
    if (k > bank) throw new ConfigError(`knn: k is ${k}, but the training data has only ${bank} images.`);
    const tensor = commonTensor([...train, ...sets.flatMap((set) => set.files)]);
    const options = {
      bank: train.map((file) => file.path),
      queries: sets.map((set) => set.files.map((file) => file.path)),
      tensor,
      k,
      threads,
    };
    const { distances } = await services.neighbours(options, hooks).done;
    return sets.map((set, index) => {
      const found = distances[index];
      if (found?.length !== set.count) {
        throw new ModeEnsembleError(
          'E_DATA',
          `knn: expected ${set.count} distances for ${set.name}, found ${found?.length ?? 0}.`,
        );
      }
      return Float64Array.from(found, (distance) => 0 - distance);
    });
  },
};

/** The name of the penultimate tensor, the same in all files or E_DATA. */
function commonTensor(files: readonly FeatureFile[]): string {
  const first = files[0] as FeatureFile;
  for (const file of files) {
    if (file.penultimate !== first.penultimate) {
      throw new ModeEnsembleError(
        'E_DATA',
        `The penultimate feature is "${first.penultimate}" in ${first.path}, but "${file.penultimate}" in ${file.path}.`,
      );
    }
  }
  if (first.penultimate === '') {
    throw new ConfigError(
      `knn: expected networks that give their penultimate feature, found logits alone in ${first.path}.`,
    );
  }
  return first.penultimate;
}
