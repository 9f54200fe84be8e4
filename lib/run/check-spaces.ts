/** Which modes can meet in one ensemble, and in which space. */
import { ConfigError } from '../config/errors.js';
import type { Detector, RowDetector } from '../detectors/index.js';
import { type FusionName, joinMembers } from '../ensemble/index.js';
import type { EvaluationInput } from './types.js';

interface Choice {
  label: string;
  detector: Detector;
}

/**
 * Networks of different architectures have logits in common, but no features.
 *
 * @param subsets those whose members are brought together before they are scored
 * @throws ConfigError that names the detector, the modes and the way out
 */
export function checkSpaces(
  { members }: EvaluationInput,
  choices: readonly Choice[],
  subsets: readonly { members: readonly string[]; places: readonly number[] }[],
  fusion: FusionName,
): void {
  if (fusion === 'softmax') {
    const other = choices.find(
      ({ detector }) => !('readsSoftmax' in detector && (detector as RowDetector).readsSoftmax),
    );
    if (other) {
      const why = `${other.label} is no function of the softmax`;
      throw new ConfigError(
        `The fusion "softmax" cannot be used with ${other.label}: ${why}; take "paper" or "scores".`,
      );
    }
  }
  const onFeatures = choices.find(({ detector }) => detector.space === 'features');
  if (!onFeatures) return;
  for (const { members: names, places } of subsets) {
    const archs = [...new Set(places.map((place) => members[place]?.arch))];
    if (archs.length === 1) continue;
    throw new ConfigError(
      `${onFeatures.label} averages features, which modes of different architectures (${archs.join(', ')}) do not have in common: ` +
        `ensemble ${joinMembers(names)} can be scored by detectors on logits, or with the fusion "scores".`,
    );
  }
}
