/** The networks of an evaluation, for detectors that go back to them; what they give is kept beside the features. */
import { canonicalHash, canonicalJson, type Json } from '../config/canonical.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import type { DataSet } from '../data/open.js';
import type { Adversarial, Networks, StageGaussians, StageScoresRequest, TuningRecord } from '../detectors/index.js';
import { joinMembers } from '../ensemble/index.js';
import { EXTRACTOR_VERSION } from '../features/key.js';
import { openSafetensors, readFloat64, type Safetensors } from '../features/safetensors.js';
import type { FeatureFile } from '../features/store.js';
import { archOptions } from '../modes/arch.js';
import { keepBetweenJobs } from '../native/between-jobs.js';
import type { ArchOptions, StageScoresOutput, TransformOptions } from '../native/contract.js';
import { deviceInKey } from '../native/device.js';
import { type JobHooks, startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import type { ExtractedMember, ExtractSettings } from './extract.js';
import { keptTuning, readTuning, tuningFor, tuningKey } from './tuning-file.js';

export interface NetworkSettings extends Omit<ExtractSettings, 'passes'> {
  /** A file of tuned parameters, which must be those of the members; without it what the store has is taken. */
  tuned?: string | undefined;
  /** What errors call it; default: `tuned`. */
  tunedWhere?: string | undefined;
}

/** Raise it whenever statistics or scores come out differently from the same files. */
const VERSION = 1;

/** With what whoever extracts needs to know to make the scores itself. */
export interface StoredNetworks extends Networks {
  /** The file of these scores; undefined where it is there. */
  missingScores(request: StageScoresRequest): Promise<StageScoresOutput | undefined>;
}

/** What an evaluation's detectors may ask of these networks. `hooks` hear what is told; each question has hooks of its own. */
export function networksOf(settings: NetworkSettings, hooks: Partial<Pick<JobHooks, 'onLog'>>): StoredNetworks {
  const { sets, store, batchSize, device = 'cpu', precision, threads, workers } = settings;
  const { storage = 'float32' } = settings;
  const addon = settings.addon ?? getAddon();
  const told = new Set<string>();
  const tell: Networks['tell'] = (level, message) => {
    if (told.has(message)) return;
    told.add(message);
    hooks.onLog?.({ type: 'log', level, message });
  };
  const setNamed = (name: string): DataSet => {
    const found = [sets.test, ...sets.out].find((set) => set.name === name);
    if (found) return found;
    throw new ConfigError(`There is no data set "${name}" whose images could go through the networks.`);
  };
  const memberNamed = (name: string): ExtractedMember => {
    const found = settings.members.find((member) => member.name === name);
    if (found) return found;
    throw new ConfigError(`There is no mode "${name}" whose network could be opened.`);
  };
  const trainSet = (): DataSet => {
    if (sets.train) return sets.train;
    throw new ConfigError('The stages of the networks are compared with the training data, and there is none.');
  };
  /** Members have their features in common, and so architecture, classes and pixels. */
  const networkOf = (members: readonly string[]) => {
    const [first, ...others] = members.map(memberNamed) as [ExtractedMember, ...ExtractedMember[]];
    const about = ({ arch, classes, transform }: ExtractedMember) =>
      canonicalJson({ arch: arch.id, classes, transform: plain(transform) });
    const other = others.find((member) => about(member) !== about(first));
    if (other) {
      const what = 'expected modes of one architecture, with as many classes and the same preprocessing';
      throw new ConfigError(
        `mahalanobis, ${joinMembers(members)}: ${what}, found ${about(first)} and ${about(other)}.`,
      );
    }
    return { network: archOptions(first.arch, first.classes), transform: first.transform, classes: first.classes };
  };
  /** What every number depends on. Members are summed up, so their order hardly matters. */
  const base = (members: readonly string[]) => ({
    version: VERSION,
    extractor: EXTRACTOR_VERSION,
    weights: members.map((member) => memberNamed(member).weightsHash).sort(),
    ...describeNetwork(networkOf(members)),
    precision,
    ...deviceInKey(device),
    storage,
    train: fingerprintOf(trainSet()),
  });
  const warnSingular = async ({ path, stages }: StageGaussians, file: Safetensors, members: readonly string[]) => {
    for (const stage of stages) {
      const [rank = 0, width = 0] = file.tensors.get(`${stage}.whitening`)?.shape ?? [];
      if (file.tensors.get(`${stage}.whitening`) === undefined) {
        throw new ModeEnsembleError('E_DATA', `${path}: expected the statistics of ${stage}, found none.`);
      }
      if (rank === width) continue;
      const what = `the covariance of ${stage} is singular (rank ${rank} of ${width})`;
      tell('warning', `mahalanobis, ${joinMembers(members)}: ${what}; its pseudo-inverse is taken`);
    }
  };
  const source = (members: readonly string[], { step, clamp }: Adversarial) => ({
    ...base(members),
    test: fingerprintOf(sets.test),
    step,
    clamp,
  });
  let records: Promise<TuningRecord[]> | undefined;
  const scoresFile = async ({ set, gaussians, first, count, magnitudes, adversarial }: StageScoresRequest) => {
    const about = {
      what: 'stage scores',
      gaussians: gaussians.key,
      set: fingerprintOf(setNamed(set)),
      first,
      count,
    };
    const moves = { magnitudes: [...magnitudes], adversarial: adversarial && { ...adversarial } };
    const key = canonicalHash({ ...about, ...moves, version: VERSION });
    const kept = await store.openKept('mahalanobis-scores', key, (reason) =>
      tell('warning', `${reason} It is made again.`),
    );
    return { key, path: store.keptPath('mahalanobis-scores', key), kept, moves };
  };

  return {
    missingScores: async (request) => {
      const { key, path, kept } = await scoresFile(request);
      if (kept) return undefined;
      return { statistics: request.gaussians.path, magnitudes: [...request.magnitudes], path, metadata: { key } };
    },
    tell,
    hold: () => keepBetweenJobs(addon),
    count: (set) => setNamed(set).count,
    gaussians: async (members, train, own) => {
      const stages = commonStages(train);
      const key = canonicalHash({ ...base(members), what: 'gaussians', stages });
      const path = store.keptPath('mahalanobis-gaussians', key);
      const gaussians = { path, key, members, stages };
      const kept = await store.openKept('mahalanobis-gaussians', key, (reason) =>
        tell('warning', `${reason} It is made again.`),
      );
      if (!kept) {
        const { classes } = networkOf(members);
        const options = { train: train.map((file) => file.path), stages: [...stages], classes, output: path };
        await startJob((sink) => addon.fitGaussians({ ...options, metadata: { key }, threads }, sink), own).done;
      }
      await warnSingular(gaussians, kept ?? (await openSafetensors(path)), members);
      return gaussians;
    },
    storedScores: async ({ path, stages }, files, own) => {
      const paths = files.map((of) => of.map((file) => file.path));
      const options = { statistics: path, sets: paths, stages: [...stages], threads };
      return (await startJob((sink) => addon.gaussianScores(options, sink), own).done).scores;
    },
    stageScores: async (request, own) => {
      const set = setNamed(request.set);
      const { gaussians, first, count } = request;
      const { key, path: output, kept, moves } = await scoresFile(request);
      if (!kept) {
        const { network, transform } = networkOf(gaussians.members);
        const members = gaussians.members.map((name) => ({ arch: network, checkpoint: memberNamed(name).checkpoint }));
        const place = { data: set.handle, transform, first, count, batchSize, device, precision, threads, workers };
        const options = { ...place, ...moves, members, statistics: gaussians.path, output, metadata: { key } };
        await startJob((sink) => addon.perturbedGaussians(options, sink), own).done;
      }
      return splitScores(kept ?? (await openSafetensors(output)), request);
    },
    tuning: async (members, adversarial) => {
      const wanted = source(members, adversarial);
      if (settings.tuned === undefined) {
        return keptTuning(store, tuningKey(wanted), (reason) => tell('warning', `${reason} It is passed over.`));
      }
      const where = settings.tunedWhere ?? 'tuned';
      records ??= readTuning(settings.tuned, where);
      return tuningFor(await records, wanted, members, `${where}: ${settings.tuned}`);
    },
    tuningSource: source,
  };
}

function describeNetwork({ network, transform }: { network: ArchOptions; transform: TransformOptions }) {
  const { name, width, classes } = network;
  return { arch: { name, width, classes }, transform: plain(transform) };
}

/** Names of the stages that all files have. */
function commonStages(files: readonly FeatureFile[]): string[] {
  const [first] = files;
  const stages = first?.stages ?? [];
  if (!first || stages.length === 0) {
    throw new ConfigError(`mahalanobis: expected networks that give their stages, found none in ${first?.path}.`);
  }
  const other = files.find((file) => file.stages.length !== stages.length);
  if (other) {
    const found = `found ${stages.length} in ${first.path} and ${other.stages.length} in ${other.path}`;
    throw new ModeEnsembleError('E_DATA', `mahalanobis: expected modes with as many stages, ${found}.`);
  }
  return stages;
}

/** `scores` [N, magnitudes, stages] by magnitude. */
async function splitScores(file: Safetensors, { magnitudes, gaussians }: StageScoresRequest): Promise<Float64Array[]> {
  const all = await readFloat64(file, 'scores', 3);
  const [rows = 0, count, width] = file.tensors.get('scores')?.shape ?? [];
  const stages = gaussians.stages.length;
  if (count !== magnitudes.length || width !== stages) {
    const expected = `expected ${magnitudes.length} magnitudes and ${stages} stages`;
    throw new ModeEnsembleError('E_DATA', `${file.path}: ${expected}, found ${count} and ${width}.`);
  }
  return magnitudes.map((_, magnitude) => {
    const own = new Float64Array(rows * stages);
    for (let row = 0; row < rows; row++) {
      const from = (row * magnitudes.length + magnitude) * stages;
      own.set(all.subarray(from, from + stages), row * stages);
    }
    return own;
  });
}

/** Of the images that can be read, where bad ones may be passed over. */
function fingerprintOf(set: DataSet): string {
  return set.skipBadImages ? `${set.fingerprint}+skip` : set.fingerprint;
}

/** The fields one by one, so that a wider object with the same content has the same key. */
function plain({ resize, fit, filter, crop, mean, std }: TransformOptions): Json {
  return { resize, fit, filter, crop, mean: [...mean], std: [...std] };
}
