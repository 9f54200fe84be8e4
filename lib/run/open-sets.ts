/** Opens the feature files of an evaluation and makes sure that those of one set hold the same images. */
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import { FeatureFile, type Pass, PLAIN, passId } from '../features/index.js';
import type { MemberFeatures, PassFiles } from './types.js';

/** One data set: for each pass the file of every member. */
export interface FeatureSet {
  name: string;
  /** Rows N. */
  count: number;
  /** By passId, one file a member. */
  passes: ReadonlyMap<string, readonly FeatureFile[]>;
}

/** The files of a pass, one a member. */
export function filesOf(set: FeatureSet, pass: Pass): readonly FeatureFile[] {
  const files = set.passes.get(passId(pass));
  if (!files) throw new ConfigError(`${set.name}: there are no features of the pass "${passId(pass)}".`);
  return files;
}

/** The test set first, then the OoD sets. @throws ModeEnsembleError E_CONFIG, E_DATA, E_IO */
export async function openSets(
  inName: string,
  outNames: readonly string[],
  members: readonly MemberFeatures[],
  passes: readonly Pass[],
): Promise<FeatureSet[]> {
  const sets = [await openSet(inName, members, passes, (member) => member.test)];
  for (const name of outNames) {
    sets.push(await openSet(name, members, passes, (member) => member.out[name] as PassFiles));
  }
  return sets;
}

/** Plain features of the training data, for the detector that `needed` names. */
export async function openTrain(members: readonly MemberFeatures[], needed: string): Promise<FeatureSet> {
  return openSet('the training data', members, [PLAIN], (member) => {
    if (member.train) return member.train;
    throw new ConfigError(
      `Detector ${needed} needs features of the training data, which mode ${member.name} does not have.`,
    );
  });
}

async function openSet(
  name: string,
  members: readonly MemberFeatures[],
  passes: readonly Pass[],
  filesFor: (member: MemberFeatures) => PassFiles,
): Promise<FeatureSet> {
  const opened = new Map<string, FeatureFile[]>();
  for (const pass of passes) {
    const files: FeatureFile[] = [];
    for (const member of members) {
      const path = filesFor(member)[passId(pass)];
      if (path === undefined) {
        throw new ConfigError(`${name}: mode ${member.name} has no features of the pass "${passId(pass)}".`);
      }
      files.push(await FeatureFile.open(path));
    }
    opened.set(passId(pass), files);
  }
  const all = [...opened.values()].flat();
  await requireSameImages(name, all);
  return { name, count: all[0]?.count ?? 0, passes: opened };
}

/** @throws ModeEnsembleError E_DATA where two files hold other images, or in another order */
export async function requireSameImages(name: string, files: readonly FeatureFile[]): Promise<void> {
  const first = files[0] as FeatureFile;
  const labels = await first.labels();
  for (const file of files.slice(1)) {
    const differ = (what: string, a: unknown, b: unknown) =>
      new ModeEnsembleError(
        'E_DATA',
        `The modes' features of ${name} are not of the same images: ${what} is ${a} in ${first.path}, but ${b} in ${file.path}.`,
      );
    if (file.count !== first.count) throw differ('the number of images', first.count, file.count);
    const [a, b] = [first.metadata.fingerprint, file.metadata.fingerprint];
    if (a !== undefined && b !== undefined && a !== b) throw differ('the fingerprint', a, b);
    const others = await file.labels();
    const at = others.findIndex((label, i) => label !== labels[i]);
    if (at >= 0) throw differ(`label ${at}`, labels[at], others[at]);
  }
}
