/** Which modes can meet in one ensemble, and in which space. */
import { ConfigError } from '../config/errors.js';
import type { Detector, RowDetector } from '../detectors/index.js';
import { FUSE_LOGITS, type FusionName, joinMembers, MEMBER_SEPARATOR } from '../ensemble/index.js';

/** What has to be known of a mode to tell whom it can meet. */
export interface SpaceMember {
  name: string;
  /** Id of its architecture. */
  arch: string;
  /** Number of its logits, where that is known. */
  classes?: number | undefined;
}

interface Choice {
  label: string;
  detector: Detector;
}

/** The modes' architecture, or all that there are. */
export function archOf(members: readonly Pick<SpaceMember, 'arch'>[]): string {
  return [...new Set(members.map(({ arch }) => arch))].join(MEMBER_SEPARATOR);
}

/**
 * Networks of different architectures have logits in common, but no features, and those with other numbers of classes not
 * even logits. Where the scores are averaged, nothing has to be in common.
 *
 * @param ensembles by member names
 * @returns why the detector cannot be used, to be read after its name; undefined where it can
 */
export function spaceProblem(
  detector: Detector,
  members: readonly SpaceMember[],
  ensembles: readonly (readonly string[])[],
  fusion: FusionName,
): string | undefined {
  if (fusion === 'softmax' && !(detector as Partial<RowDetector>).readsSoftmax) {
    return 'is no function of the softmax, of which the fusion "softmax" takes the mean; "paper" and "scores" are for all detectors';
  }
  if (!FUSE_LOGITS[fusion]) return undefined;
  for (const names of ensembles) {
    const own = members.filter(({ name }) => names.includes(name));
    const archs = new Set(own.map(({ arch }) => arch));
    const classes = new Set(own.flatMap((member) => member.classes ?? []));
    const ensemble = `ensemble ${joinMembers(names)}`;
    if (detector.space === 'features' && archs.size > 1) {
      const which = `modes of different architectures (${[...archs].join(', ')})`;
      const instead = 'take detectors on logits, or the fusion "scores"';
      return `averages features, which ${which} do not have in common: for ${ensemble} ${instead}`;
    }
    if (detector.space === 'logits' && classes.size > 1) {
      const which = `modes of ${[...classes].join(' and ')} classes`;
      return `averages logits, which ${which} do not have in common: for ${ensemble} take the fusion "scores" or "standardised"`;
    }
  }
  return undefined;
}

/** @throws ConfigError that names the first detector that cannot be used, the modes and the way out */
export function checkSpaces(
  choices: readonly Choice[],
  members: readonly SpaceMember[],
  ensembles: readonly (readonly string[])[],
  fusion: FusionName,
  where?: string,
): void {
  for (const { label, detector } of choices) {
    const problem = spaceProblem(detector, members, ensembles, fusion);
    if (problem !== undefined) throw new ConfigError(`${where === undefined ? '' : `${where}: `}${label} ${problem}`);
  }
}
