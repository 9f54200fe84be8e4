/** Which detectors an evaluation of checkpoints can use. */
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { missingSentence, warn } from '../data/suite.js';
import { DETECTORS, getDetector } from '../detectors/index.js';
import type { FusionName } from '../ensemble/index.js';
import type { CheckpointMember } from '../modes/checkpoints.js';
import { spaceProblem } from './check-spaces.js';
import { chooseDetectors } from './experiment.js';
import type { StageHooks } from './extract.js';
import type { ChosenSets } from './sets.js';
import type { DetectorChoice } from './types.js';

export interface Wish {
  /** Undefined: all that can be used. */
  asked: DetectorChoice[] | undefined;
  /** Whose defaults detectors take. */
  suite: string;
  /** By member names. */
  ensembles: readonly (readonly string[])[];
  fusion: FusionName;
  /** Training data that was named besides the suite. */
  ownTrain: string | undefined;
  /** What errors call the detectors. */
  where: string;
}

/** Why a detector cannot be used; `text` is read after its name. */
interface Problem {
  code: 'E_CONFIG' | 'E_DATA';
  text: string;
  /** Worth a warning where nobody asked for the detector. */
  isTold: boolean;
}

/**
 * The detectors asked for, or all. Those that need what the networks do not give, what modes of an ensemble do not have in
 * common, or training data that is missing, are refused where they were asked for, and else left out.
 *
 * @throws ModeEnsembleError E_CONFIG, E_DATA; also where none is left
 */
export function usableDetectors(
  wish: Wish,
  modes: readonly CheckpointMember[],
  sets: ChosenSets,
  hooks: Pick<StageHooks, 'onLog'>,
): DetectorChoice[] {
  const { asked, suite, where } = wish;
  const names = DETECTORS.map(({ name }) => name);
  const choices = asked ?? chooseDetectors(names, where, suite);
  const usable: DetectorChoice[] = [];
  let first: string | undefined;
  for (const choice of choices) {
    const label = choice.label ?? choice.name;
    const problem = problemOf(choice, wish, modes, sets);
    if (!problem) {
      usable.push(choice);
      continue;
    }
    const sentence = `${where}: ${label} ${problem.text}`;
    if (asked) throw new ModeEnsembleError(problem.code, sentence);
    first ??= sentence;
    if (problem.isTold) warn(`${label} is left out: it ${problem.text}`, hooks);
  }
  if (usable.length === 0) throw new ConfigError(first ?? `${where}: expected at least one detector, found nothing`);
  return usable;
}

function problemOf(
  { name, parameters }: DetectorChoice,
  { ensembles, fusion, ownTrain }: Wish,
  modes: readonly CheckpointMember[],
  { suite }: ChosenSets,
): Problem | undefined {
  const detector = getDetector(name);
  const { penultimate, stages, fit } = detector.needs(parameters);
  for (const [isNeeded, has, what, otherwise] of [
    [penultimate, 'hasPenultimate', 'penultimate feature', 'returns logits alone'],
    [stages, 'hasStages', 'stages', 'is only known as a whole'],
  ] as const) {
    const bare = isNeeded && modes.find((mode) => !mode[has]);
    if (!bare) continue;
    const text = `needs the network's ${what}, and ${bare.checkpoint} ${otherwise}`;
    // Where no network gives it, nothing is taken away from one that does.
    return { code: 'E_CONFIG', text, isTold: modes.some((mode) => mode[has]) };
  }
  const members = modes.map((mode) => ({ name: mode.name, arch: mode.arch.id, classes: mode.classes }));
  const apart = spaceProblem(detector, members, ensembles, fusion);
  if (apart !== undefined) return { code: 'E_CONFIG', text: apart, isTold: true };
  if (fit === 'train' && ownTrain === undefined && suite && !suite.train.spec) {
    return { code: 'E_DATA', text: `needs training data, and ${missingSentence(suite.train)}`, isTold: true };
  }
  return undefined;
}
