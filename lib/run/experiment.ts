import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import type { EvaluateSettings, ModelExperiment } from '../config/schema.js';
import { suggestion } from '../config/suggest.js';
import { missingSentence } from '../data/suite.js';
import { getDetector, labelOf, type Needs, resolveParameters } from '../detectors/index.js';
import { resolveSubsets, subsetsOfAllSizes, subsetsOfSize } from '../ensemble/index.js';
import { distinctPasses, type Pass, PLAIN } from '../features/index.js';
import { type Architectures, type ModeArch, resolveArch } from '../modes/arch.js';
import { overrideTransform } from '../modes/transform.js';
import type { TransformOptions } from '../native/contract.js';
import { checkSpaces } from './check-spaces.js';
import { type ChosenSets, chooseSets, requireSuiteSize } from './sets.js';
import type { DetectorChoice } from './types.js';

/** An experiment of one architecture with its names looked up: nothing in it can be mistyped any more. */
export interface Plan {
  experiment: ModelExperiment;
  arch: ModeArch;
  transform: TransformOptions;
  sets: ChosenSets;
  detectors: DetectorChoice[];
  /** Each an ensemble, by the seeds of its members. */
  ensembles: string[][];
}

/**
 * Looks up every name in an experiment.
 *
 * @param where what errors name first, for instance the experiment's file
 * @param given the sets, where they are not to be looked for
 * @throws ModeEnsembleError E_CONFIG, E_DATA where a suite's sets are missing
 */
export function planExperiment(
  experiment: ModelExperiment,
  where = 'experiment',
  architectures?: Architectures,
  given?: ChosenSets,
): Plan {
  const { in: own, out, suite, root } = experiment;
  const name = (field: string, index?: number) => {
    // A suite lies in the root.
    const of = field === 'data' ? 'root' : field;
    return `${where}: ${of}${index === undefined ? '' : `[${index}]`}`;
  };
  const sets = given ?? chooseSets({ in: own, out, root, suite, data: root, needsOut: true }, name);
  const { split } = sets.in.spec;
  if (split !== undefined) {
    const found = `found ?split=${split}`;
    throw new ConfigError(`${where}: in: expected a set without a split, as a run takes both train and test, ${found}`);
  }
  if (sets.suite && !sets.suite.train.spec) {
    throw new ModeEnsembleError('E_DATA', `${name('suite')}: ${missingSentence(sets.suite.train)}`);
  }
  const unknown = experiment.landscape?.out?.find((one) => !sets.out.some(({ spec }) => spec.name === one));
  if (unknown !== undefined) {
    const known = sets.out.map(({ spec }) => spec.name);
    throw new ConfigError(`${where}: landscape.out: no OoD set is called ${unknown}; ${suggestion(unknown, known)}`);
  }
  const arch = resolveArch(experiment.arch, experiment.width, { where: `${where}: arch`, architectures });
  const transform = overrideTransform(arch.transform, experiment.transform, `${where}: transform`);
  const isAsked = experiment.transform?.crop !== undefined;
  requireSuiteSize(sets, arch.id, transform, isAsked, { suite: name('suite'), crop: 'transform.crop' });
  const { detectors: wanted, ensembles: groups, fusion } = experiment.evaluate;
  const detectors = chooseDetectors(wanted, `${where}: evaluate.detectors`, defaultsFor(sets, transform));
  const ensembles = chooseEnsembles(groups, experiment.seeds.map(String), `${where}: evaluate.ensembles`);
  const named = detectors.map((choice) => ({ label: choice.label ?? choice.name, detector: getDetector(choice.name) }));
  // All modes are of one architecture: only the detectors have to go with the fusion.
  checkSpaces(named, [], ensembles, fusion, `${where}: evaluate.fusion`);
  return { experiment, arch, transform, sets, detectors, ensembles };
}

/**
 * Looks up detectors and their parameters, and fills in the defaults of these. The same detector may be chosen several
 * times with different parameters.
 *
 * @param suite whose defaults are taken where a detector has some
 * @throws ConfigError that suggests the nearest name
 */
export function chooseDetectors(
  choices: EvaluateSettings['detectors'],
  where: string,
  suite?: string,
): DetectorChoice[] {
  const found = choices.map((choice) => {
    const [name, parameters] = typeof choice === 'string' ? [choice, {}] : (Object.entries(choice)[0] ?? ['', {}]);
    return named(where, () => {
      const detector = getDetector(name.trim());
      return { detector, given: parameters ?? {}, parameters: resolveParameters(detector, parameters ?? {}, suite) };
    });
  });
  const chosen = found.map(({ detector: { name }, given, parameters }) => {
    const isAlone = found.filter((other) => other.detector.name === name).length === 1;
    return { name, label: isAlone ? name : labelOf(name, given), parameters };
  });
  const labels = chosen.map(({ label }) => label);
  const twice = labels.find((label, index) => labels.indexOf(label) !== index);
  if (twice !== undefined) throw new ConfigError(`${where}: detector ${twice} is given twice`);
  return chosen;
}

/** Images of this side and more are taken for ImageNet's where no suite says whose defaults detectors take. */
const LARGE_IMAGES = 128;

/** The suite whose defaults detectors take: the one that is evaluated, else the one whose images have such a size. */
export function defaultsFor({ suite }: ChosenSets, { crop }: TransformOptions): string {
  return suite?.suite.name ?? (crop >= LARGE_IMAGES ? 'imagenet' : 'cifar10');
}

/** What the chosen detectors read. */
export function needsOf(choices: readonly DetectorChoice[]): Needs[] {
  return choices.map(({ name, parameters }) => getDetector(name).needs(parameters));
}

/** True where a detector learns from the training data's features. */
export function needsTrainFeatures(choices: readonly DetectorChoice[]): boolean {
  return needsOf(choices).some(({ fit }) => fit === 'train');
}

/** The passes that the chosen detectors read, and the plain one, of which accuracy is made. */
export function passesOf(choices: readonly DetectorChoice[]): Pass[] {
  return distinctPasses([PLAIN, ...needsOf(choices).flatMap(({ passes }) => passes)]);
}

type MemberLists = readonly (readonly (number | string)[])[];

/** All modes together; every subset of a size (or of any), and further ones by their members; or those alone. */
export type EnsembleWish = 'all' | { size: number | 'all'; lists?: MemberLists | undefined } | MemberLists;

/**
 * The ensembles that are asked for, by member names; none where there are fewer than two members.
 *
 * @param members all member names, in order
 * @throws ConfigError for members that are not there or stand twice, and for sizes that cannot be made
 */
export function chooseEnsembles(wanted: EnsembleWish, members: readonly string[], where: string): string[][] {
  if (wanted === 'all') return members.length < 2 ? [] : [[...members]];
  return named(where, () => {
    const { size, lists = [] } = 'size' in wanted ? wanted : { size: undefined, lists: wanted };
    const listed = resolveSubsets(
      lists.map((ensemble) => ensemble.map(String)),
      members,
    );
    if (size === undefined) return listed;
    if (size === 'all') return subsetsOfAllSizes(members);
    // A list of that size is among the subsets already.
    return [...subsetsOfSize(members, size), ...listed.filter(({ length }) => length !== size)];
  });
}

/** Runs a look-up whose errors do not know which field they are about, and lets them begin with it. */
function named<T>(where: string, lookUp: () => T): T {
  try {
    return lookUp();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`${where}: ${error.message}`, { cause: error });
  }
}
