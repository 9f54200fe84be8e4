import { canonicalJson } from '../config/canonical.js';
import { ConfigError } from '../config/errors.js';
import { MODES_AT_ONCE, SEARCH_MEMORY } from '../config/schema.js';
import type { DataSet } from '../data/open.js';
import type { Services } from '../detectors/index.js';
import { EXTRACTOR_VERSION, featureKey, featureMetadata } from '../features/key.js';
import { type Pass, PLAIN, passId } from '../features/pass.js';
import { FeatureFile, type FeatureStore } from '../features/store.js';
import { archOptions, type ModeArch, SCRIPT } from '../modes/arch.js';
import type { Member } from '../modes/member.js';
import { keepBetweenJobs } from '../native/between-jobs.js';
import type {
  Addon,
  ExtractMember,
  Precision,
  SkippedImage,
  StageScoresOutput,
  Storage,
  TransformOptions,
} from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import type { Beside } from './beside.js';
import { chunksOf } from './graph.js';
import type { MemberFeatures, PassFiles } from './types.js';

/** As a job's, and told what is done next, for instance `train seed 1000` or `extract textures`. */
export interface StageHooks extends JobHooks {
  onStage?: ((stage: string) => void) | undefined;
}

/** A mode whose features are wanted. */
export type ExtractedMember = Member;

export interface FeatureSets {
  /** In-distribution training data; only where a detector learns from it. */
  train?: DataSet | undefined;
  /** In-distribution test data. */
  test: DataSet;
  out: readonly DataSet[];
}

export interface ExtractSettings {
  members: readonly ExtractedMember[];
  sets: FeatureSets;
  /** What is made of each image of the test data and of the OoD sets; of the training data the plain pass alone. */
  passes: readonly Pass[];
  /** The type in which features are stored; default: float32. */
  storage?: Storage | undefined;
  /** So many networks are open together at most; more read the images again. Default: MODES_AT_ONCE. */
  modesAtOnce?: number | undefined;
  /** What else is made of the images of test data and OoD sets when they go through a mode's network. */
  beside?: Beside | undefined;
  store: FeatureStore;
  batchSize: number;
  precision: Precision;
  /** `cpu` or `cuda:N`; default: cpu. */
  device?: string | undefined;
  threads: number;
  workers: number;
  addon?: Addon | undefined;
}

export interface ExtractedFeatures {
  members: MemberFeatures[];
  /** Feature files made now, and those that were there. */
  made: number;
  reused: number;
  /** Paths of those that were made now. */
  madePaths: string[];
  /** Images passed over because they cannot be decoded, by the set's name; sets without any are left out. */
  skipped: Record<string, number>;
  /** These images and what is wrong with them, the first hundred; those of files that an earlier version made are not known. */
  skippedImages: Record<string, SkippedImage[]>;
}

/**
 * What an evaluation asks of native code, from this addon.
 *
 * @param searchMemory MiB that training features may take which are searched at a time
 */
export function servicesOf(addon: Addon, searchMemory = SEARCH_MEMORY): Services {
  return {
    neighbours: (options, hooks) =>
      startJob((sink) => addon.neighbours({ ...options, memory: searchMemory }, sink), hooks),
  };
}

/**
 * Makes the feature files that are missing: one job for each data set and each kind of preprocessing (and each
 * `modesAtOnce` modes), so that each image is decoded once for it and goes through each network once. What is in the
 * store under the right key is not made again.
 *
 * @throws ModeEnsembleError E_DATA for images that cannot be read, E_CHECKPOINT for weights of another shape,
 *   E_ABORTED, E_IO; finished feature files stay
 */
export async function extractFeatures(settings: ExtractSettings, hooks: StageHooks = {}): Promise<ExtractedFeatures> {
  const { members, sets, store } = settings;
  requireOwnGradients(settings);
  await store.sweep();
  using _kept = keepBetweenJobs(settings.addon ?? getAddon());
  const result: ExtractedFeatures = { members: [], made: 0, reused: 0, madePaths: [], skipped: {}, skippedImages: {} };
  const { train: learnt } = sets;
  const ofTrain = learnt && `${learnt.name} (train)`;
  const train =
    learnt && (await extractSet({ ...settings, passes: [PLAIN] }, learnt, ofTrain as string, result, hooks));
  if (learnt && train) await tellSkipped(learnt, ofTrain as string, train, store, result, hooks);
  // Of each member what the detectors learn from, so that they can say what they will ask for.
  const besideOf = (set: DataSet) => async (member: ExtractedMember) =>
    (await settings.beside?.(set, member.name, train?.[members.indexOf(member)]?.[passId(PLAIN)])) ?? [];
  const extract = async (set: DataSet, label: string) => {
    const files = await extractSet(settings, set, label, result, hooks, besideOf(set));
    await tellSkipped(set, label, files, store, result, hooks);
    return files;
  };
  const test = await extract(sets.test, `${sets.test.name} (test)`);
  const out = new Map<string, PassFiles[]>();
  for (const set of sets.out) out.set(set.name, await extract(set, set.name));
  result.members = members.map(({ name, arch }, index) => ({
    name,
    arch: arch.id,
    train: train?.[index],
    test: test[index] as PassFiles,
    out: Object.fromEntries([...out].map(([set, files]) => [set, files[index] as PassFiles])),
  }));
  return result;
}

/** One feature file, there or to be made. */
export interface Wanted {
  member: ExtractedMember;
  pass: Pass;
  key: string;
  path: string;
  metadata: Record<string, string>;
  isThere: boolean;
}

/** The feature files of one set, for each member by pass. All that are missing come from one pass over the images. */
export async function extractSet(
  settings: Omit<ExtractSettings, 'sets' | 'beside'>,
  set: DataSet,
  label: string,
  result: Pick<ExtractedFeatures, 'made' | 'reused' | 'madePaths'>,
  hooks: StageHooks,
  beside?: (member: ExtractedMember) => Promise<StageScoresOutput[]>,
): Promise<PassFiles[]> {
  const { members, store, passes } = settings;
  const files = await Promise.all(
    members.flatMap((member) => passes.map((pass) => lookUp(settings, set, member, { pass }, hooks))),
  );
  // Two checkpoints with the same bytes share one feature file.
  const missing = files.filter(
    ({ key, isThere }, index) => !isThere && files.findIndex((other) => other.key === key) === index,
  );
  result.made += missing.length;
  result.madePaths.push(...missing.map(({ path }) => path));
  result.reused += files.length - missing.length;
  const groups = goingTogether(missing, settings.modesAtOnce);
  for (const [index, group] of groups.entries()) {
    const part = groups.length > 1 ? ` (group ${index + 1} of ${groups.length})` : '';
    hooks.onStage?.(`extract ${label}${part}`);
    await makeFiles(settings, set, group, hooks, beside);
  }
  return members.map((member) =>
    Object.fromEntries(files.filter((file) => file.member === member).map(({ pass, path }) => [passId(pass), path])),
  );
}

/**
 * Looks whether the file of a pass is there.
 *
 * @param after the modes before it, where the pass depends on them
 */
export async function lookUp(
  settings: Pick<ExtractSettings, 'store' | 'precision' | 'storage' | 'device'>,
  set: DataSet,
  member: ExtractedMember,
  { pass, after = [] }: { pass: Pass; after?: readonly ExtractedMember[] },
  hooks: StageHooks,
): Promise<Wanted> {
  const { store, device, precision, storage = 'float32' } = settings;
  const whole = {
    weights: member.weightsHash,
    fingerprint: fingerprintOf(set),
    transform: member.transform,
    device,
    precision,
    extractor: EXTRACTOR_VERSION,
    arch: archOptions(member.arch, member.classes),
    pass,
    storage,
    after: after.map(({ weightsHash }) => weightsHash),
  };
  const key = featureKey(whole);
  // A module's id is its file's name, which is no content.
  const id = member.arch.name === SCRIPT ? SCRIPT : member.arch.id;
  const metadata = featureMetadata(whole, { arch: id, data: set.reader });
  const told = (reason: string) =>
    hooks.onLog?.({ type: 'log', level: 'warning', message: `${reason} It is made again.` });
  return { member, pass, key, path: store.path(key), metadata, isThere: await store.has(key, told) };
}

/** Files made while bad images were passed over have fewer rows than a run that does not allow it may use. */
function fingerprintOf({ fingerprint, skipBadImages }: DataSet): string {
  return skipBadImages ? `${fingerprint}+skip` : fingerprint;
}

/** Networks that see the same pixels go together, up to so many of them. */
export function goingTogether(files: readonly Wanted[], modesAtOnce = MODES_AT_ONCE): Wanted[][] {
  const groups = new Map<string, Wanted[]>();
  for (const file of files) {
    const text = canonicalJson({ ...file.member.transform });
    const group = groups.get(text);
    if (group) group.push(file);
    else groups.set(text, [file]);
  }
  return [...groups.values()].flatMap((group) => {
    const members = [...new Set(group.map(({ member }) => member))];
    return chunksOf(members, modesAtOnce).map((some) => group.filter(({ member }) => some.includes(member)));
  });
}

/** Makes files of members with one preprocessing. */
async function makeFiles(
  settings: Omit<ExtractSettings, 'sets' | 'beside'>,
  set: DataSet,
  files: readonly Wanted[],
  hooks: StageHooks,
  beside?: (member: ExtractedMember) => Promise<StageScoresOutput[]>,
): Promise<void> {
  const { members, store, batchSize, device = 'cpu', precision, threads, workers, storage = 'float32' } = settings;
  const addon = settings.addon ?? getAddon();
  const { transform } = (files[0] as Wanted).member;
  const wanted: ExtractMember[] = [];
  for (const member of members) {
    const own = files.filter((file) => file.member === member);
    if (own.length === 0) continue;
    wanted.push({
      arch: archOptions(member.arch, member.classes),
      checkpoint: member.checkpoint,
      outputs: own.map(({ pass, path, metadata }) => ({ pass, path, storage, metadata })),
      stageScores: (await beside?.(member)) ?? [],
    });
  }
  const options = {
    members: wanted,
    data: set.handle,
    transform,
    batchSize,
    device,
    precision,
    threads,
    workers,
  };
  const { skipped } = await startJob((sink) => addon.extract(options, sink), hooks).done;
  // The files have fewer rows; which images these are is kept beside them.
  if (skipped.length > 0) for (const { key } of files) await store.writeSkipped(key, skipped);
}

/** A sum of gradients belongs to an ensemble, see together.ts. */
export function requireOwnGradients({ passes }: Pick<ExtractSettings, 'passes'>): void {
  if (!passes.some(({ kind, gradient }) => kind === 'perturbed' && gradient === 'accumulated')) return;
  throw new ConfigError('gradient: accumulated: it is of an ensemble, not of a mode by itself; take gradient: own');
}

/** So many names stand in a warning; the results list more. */
const NAMES_SHOWN = 3;

/** Tells which images of a set its files do without, and adds them to the result. */
export async function tellSkipped(
  set: DataSet,
  label: string,
  files: readonly PassFiles[],
  store: FeatureStore,
  result: Pick<ExtractedFeatures, 'skipped' | 'skippedImages'>,
  hooks: Pick<StageHooks, 'onLog'>,
): Promise<void> {
  const [path] = Object.values(files[0] ?? {});
  if (!set.skipBadImages || path === undefined) return;
  const { count, metadata } = await FeatureFile.open(path);
  const skipped = set.count - count;
  if (skipped === 0) return;
  result.skipped[label] = skipped;
  const images = await store.readSkipped(metadata.key as string);
  if (images.length > 0) result.skippedImages[label] = images;
  const shown = images
    .slice(0, NAMES_SHOWN)
    .map(({ name }) => name)
    .join(', ');
  const more = skipped > NAMES_SHOWN ? ` and ${skipped - NAMES_SHOWN} more` : '';
  const what = `${skipped} of ${set.count} images cannot be decoded and ${skipped === 1 ? 'is' : 'are'} passed over`;
  const message = `${label}: ${what}${shown === '' ? '' : `: ${shown}${more}`}`;
  hooks.onLog?.({ type: 'log', level: 'warning', message });
}
