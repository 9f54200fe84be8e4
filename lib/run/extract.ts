import type { DataSet } from '../data/open.js';
import type { Services } from '../detectors/index.js';
import { EXTRACTOR_VERSION, featureKey, featureMetadata } from '../features/key.js';
import { type Pass, PLAIN, passId } from '../features/pass.js';
import { FeatureFile, type FeatureStore } from '../features/store.js';
import { archOptions, type ModeArch, SCRIPT } from '../modes/arch.js';
import type { Addon, Precision, SkippedImage, Storage, TransformOptions } from '../native/contract.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import type { MemberFeatures, PassFiles } from './types.js';

/** As a job's, and told what is done next, for instance `train seed 1000` or `extract textures`. */
export interface StageHooks extends JobHooks {
  onStage?: ((stage: string) => void) | undefined;
}

/** A mode whose features are wanted. */
export interface ExtractedMember {
  /** The mode's seed, or the name of its checkpoint. */
  name: string;
  checkpoint: string;
  /** SHA-256 (hex) of the checkpoint. */
  weightsHash: string;
}

export interface FeatureSets {
  /** In-distribution training data; only where a detector learns from it. */
  train?: DataSet | undefined;
  /** In-distribution test data. */
  test: DataSet;
  out: readonly DataSet[];
}

export interface ExtractSettings {
  arch: ModeArch;
  /** Outputs of the networks. */
  classes: number;
  members: readonly ExtractedMember[];
  sets: FeatureSets;
  /** What is made of each image of the test data and of the OoD sets; of the training data the plain pass alone. */
  passes: readonly Pass[];
  /** The type in which features are stored; default: float32. */
  storage?: Storage | undefined;
  transform: TransformOptions;
  store: FeatureStore;
  batchSize: number;
  precision: Precision;
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

/** What an evaluation asks of native code, from this addon. */
export function servicesOf(addon: Addon): Services {
  return { neighbours: (options, hooks) => startJob((sink) => addon.neighbours(options, sink), hooks) };
}

/**
 * Makes the feature files that are missing: one job for each data set, so that each image is decoded once and goes
 * through each network once. What is in the store under the right key is not made again.
 *
 * @throws ModeEnsembleError E_DATA for images that cannot be read, E_CHECKPOINT for weights of another shape,
 *   E_ABORTED, E_IO; finished feature files stay
 */
export async function extractFeatures(settings: ExtractSettings, hooks: StageHooks = {}): Promise<ExtractedFeatures> {
  const { members, sets, store } = settings;
  await store.sweep();
  const result: ExtractedFeatures = { members: [], made: 0, reused: 0, madePaths: [], skipped: {}, skippedImages: {} };
  const extract = (set: DataSet, label: string, passes: readonly Pass[]) =>
    extractSet(settings, set, label, passes, result, hooks);
  const test = await extract(sets.test, `${sets.test.name} (test)`, settings.passes);
  const train = sets.train && (await extract(sets.train, `${sets.train.name} (train)`, [PLAIN]));
  const out = new Map<string, PassFiles[]>();
  for (const set of sets.out) out.set(set.name, await extract(set, set.name, settings.passes));
  result.members = members.map(({ name }, index) => ({
    name,
    arch: settings.arch.id,
    train: train?.[index],
    test: test[index] as PassFiles,
    out: Object.fromEntries([...out].map(([set, files]) => [set, files[index] as PassFiles])),
  }));
  return result;
}

/** One feature file, there or to be made. */
interface Wanted {
  member: ExtractedMember;
  pass: Pass;
  key: string;
  path: string;
  metadata: Record<string, string>;
  isThere: boolean;
}

/** The feature files of one set, for each member by pass. All that are missing come from one pass over the images. */
async function extractSet(
  settings: ExtractSettings,
  set: DataSet,
  label: string,
  passes: readonly Pass[],
  result: ExtractedFeatures,
  hooks: StageHooks,
): Promise<PassFiles[]> {
  const { arch, classes, members, transform, store, batchSize, precision, threads, workers } = settings;
  const { storage = 'float32' } = settings;
  const addon = settings.addon ?? getAddon();
  const network = archOptions(arch, classes);
  // Files made while bad images were passed over have fewer rows than a run that does not allow it may use.
  const fingerprint = set.skipBadImages ? `${set.fingerprint}+skip` : set.fingerprint;
  const told = (message: string) => hooks.onLog?.({ type: 'log', level: 'warning', message });
  const files = await Promise.all(
    members.flatMap((member) =>
      passes.map(async (pass): Promise<Wanted> => {
        const source = { weights: member.weightsHash, fingerprint, transform, precision, extractor: EXTRACTOR_VERSION };
        const whole = { ...source, arch: network, pass, storage };
        const key = featureKey(whole);
        // A module's id is its file's name, which is no content.
        const metadata = featureMetadata(whole, { arch: arch.name === SCRIPT ? SCRIPT : arch.id, data: set.reader });
        const isThere = await store.has(key, (reason) => told(`${reason} It is made again.`));
        return { member, pass, key, path: store.path(key), metadata, isThere };
      }),
    ),
  );
  // Two checkpoints with the same bytes share one feature file.
  const missing = files.filter(
    ({ key, isThere }, index) => !isThere && files.findIndex((other) => other.key === key) === index,
  );
  result.made += missing.length;
  result.madePaths.push(...missing.map(({ path }) => path));
  result.reused += files.length - missing.length;
  if (missing.length > 0) {
    hooks.onStage?.(`extract ${label}`);
    const outputsOf = (member: ExtractedMember) =>
      missing
        .filter((file) => file.member === member)
        .map(({ pass, path, metadata }) => ({ pass, path, storage, metadata }));
    const { skipped } = await startJob(
      (sink) =>
        addon.extract(
          {
            members: members
              .map((member) => ({ arch: network, checkpoint: member.checkpoint, outputs: outputsOf(member) }))
              .filter(({ outputs }) => outputs.length > 0),
            data: set.handle,
            transform,
            batchSize,
            precision,
            threads,
            workers,
          },
          sink,
        ),
      hooks,
    ).done;
    // The files have fewer rows; which images these are is kept beside them.
    if (skipped.length > 0) for (const { key } of missing) await store.writeSkipped(key, skipped);
  }
  if (set.skipBadImages) await tellSkipped(set, label, files, store, result, hooks);
  return members.map((member) =>
    Object.fromEntries(files.filter((file) => file.member === member).map(({ pass, path }) => [passId(pass), path])),
  );
}

/** So many names stand in a warning; the results list more. */
const NAMES_SHOWN = 3;

async function tellSkipped(
  set: DataSet,
  label: string,
  files: readonly { key: string; path: string }[],
  store: FeatureStore,
  result: ExtractedFeatures,
  hooks: StageHooks,
): Promise<void> {
  const [first] = files;
  if (!first) return;
  const skipped = set.count - (await FeatureFile.open(first.path)).count;
  if (skipped === 0) return;
  result.skipped[label] = skipped;
  const images = await store.readSkipped(first.key);
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
