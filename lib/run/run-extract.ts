/** Extraction by itself: what checkpoints make of data sets, as files that other programs can read. */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ConfigError } from '../config/errors.js';
import { linkFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import type { DataSet } from '../data/open.js';
import { distinctPasses, formatPassId, type Pass, PLAIN } from '../features/pass.js';
import { FeatureFile } from '../features/store.js';
import { chooseDetectors, needsTrainFeatures, passesOf } from './experiment.js';
import { extractFeatures, type StageHooks } from './extract.js';
import { fileName, type SkippedImages } from './results.js';
import { extractSettings, nameField, type OodSettings, openDataSets, prepare, suiteOf } from './run-checkpoints.js';
import { extractShards, type Shard, type ShardResult } from './shards.js';
import type { PassFiles } from './types.js';
import { usableDetectors } from './usable-detectors.js';

export interface ExtractCheckpointsSettings extends Omit<OodSettings, 'ensembles'> {
  /** What is made of each image; with detectors, what they read as well. Default: the plain pass. */
  passes?: readonly Pass[] | undefined;
  /** A folder in which each file gets a second name: `<to>/<data set>/<member>/<pass>.safetensors`. */
  to?: string | undefined;
  /** One part of each set alone; the last part that is made brings all of them together. */
  shard?: Shard | undefined;
}

/** One feature file. */
export interface ExtractedFile {
  set: string;
  part: 'train' | 'test' | 'out';
  member: string;
  arch: string;
  /** As parsePass reads it. */
  pass: string;
  rows: number;
  /** Type and shape of each tensor. */
  tensors: Record<string, { dtype: string; shape: readonly number[] }>;
  bytes: number;
  key: string;
  path: string;
  /** Its second name, where `to` asks for one. */
  link?: string | undefined;
  /** Made now; false where it was there. */
  isNew: boolean;
}

export interface ExtractedCheckpoints extends SkippedImages {
  /** The feature store. */
  features: string;
  files: ExtractedFile[];
  /** What became of the part that was asked for. */
  shard?: ShardResult | undefined;
}

/**
 * Makes the feature files of checkpoints and data sets that are missing, and tells where all of them are.
 *
 * @throws ModeEnsembleError E_CONFIG, E_CHECKPOINT, E_DATA, E_IO, E_ABORTED; finished feature files stay
 */
export async function extractCheckpoints(
  settings: ExtractCheckpointsSettings,
  hooks: StageHooks = {},
): Promise<ExtractedCheckpoints> {
  const { detectors: asked, suite, out: outSpecs = [], train: trainSpec, to, features } = settings;
  const choose = (of?: string) => asked && chooseDetectors(asked, nameField(settings, 'detectors'), of);
  // A mistyped name shows before anything is opened.
  choose();
  const whole: OodSettings = { ...settings, ensembles: 'all' };
  const { modes, sets } = await prepare(whole, suite !== undefined || outSpecs.length > 0, hooks);
  const suiteDefaults = suiteOf(sets, modes);
  const where = nameField(settings, 'detectors');
  const wish = { asked: choose(suiteDefaults), suite: suiteDefaults, ensembles: [], fusion: 'paper' as const };
  const detectors = asked ? usableDetectors({ ...wish, ownTrain: trainSpec, where }, modes.members, sets, hooks) : [];
  const passes = passesToMake(settings.passes, asked ? passesOf(detectors) : undefined);
  const needsTrain = trainSpec !== undefined || needsTrainFeatures(detectors);
  using opened = await openDataSets(whole, sets, needsTrain, hooks);
  const { train, test, out } = opened;
  const extraction = extractSettings(settings, modes, opened, passes);
  const { shard } = settings;
  const parts = shard && (await extractShards(extraction, shard, hooks));
  if (parts && parts.waiting > 0) return { features, files: [], skipped: {}, skippedImages: {}, shard: parts };
  const extracted = await extractFeatures(extraction, hooks);
  const { members, madePaths, skipped, skippedImages } = extracted;
  const made = new Set(madePaths);
  const files: ExtractedFile[] = [];
  const add = async (set: DataSet, part: ExtractedFile['part'], filesOf: (member: number) => PassFiles) => {
    for (const [index, { name, arch }] of members.entries()) {
      for (const [id, path] of Object.entries(filesOf(index))) {
        const place = { set: set.name, part, member: name, arch, pass: formatPassId(id) };
        files.push({ ...place, ...(await describeFile(path)), isNew: made.has(path) });
      }
    }
  };
  const member = (index: number) => members[index] as (typeof members)[number];
  if (train) await add(train, 'train', (index) => member(index).train ?? {});
  await add(test, 'test', (index) => member(index).test);
  for (const set of out) await add(set, 'out', (index) => member(index).out[set.name] ?? {});
  if (to !== undefined) await linkFiles(to, files, nameField(settings, 'to'));
  return { features, files, skipped, skippedImages, ...(parts && { shard: parts }) };
}

function passesToMake(given: readonly Pass[] | undefined, read: readonly Pass[] | undefined): Pass[] {
  return given || read ? distinctPasses([...(given ?? []), ...(read ?? [])]) : [PLAIN];
}

async function describeFile(path: string) {
  const file = await FeatureFile.open(path);
  const { size: bytes } = await stat(path);
  return { rows: file.count, tensors: file.tensors, bytes, key: file.metadata.key ?? basename(path), path };
}

/** The store names files by keys; people like names. */
async function linkFiles(to: string, files: ExtractedFile[], where: string): Promise<void> {
  const taken = new Map<string, ExtractedFile>();
  for (const file of files) {
    const set = fileName(file.part === 'train' ? `${file.set}-train` : file.set);
    const pass = file.pass.replaceAll(':', '-').replaceAll('=', '');
    const link = join(to, set, fileName(file.member), `${fileName(pass)}.safetensors`);
    // Sets and members differ, but not on every file system and with every suffix.
    const other = taken.get(link.toLowerCase());
    if (other) {
      throw new ConfigError(`${where}: ${file.set} and ${other.set} would both be ${link}; give one another name`);
    }
    taken.set(link.toLowerCase(), file);
    file.link = link;
  }
  for (const { path, link = '' } of files) {
    await makeWritableFolder(join(link, '..'));
    await linkFileAtomic(path, link);
  }
}
