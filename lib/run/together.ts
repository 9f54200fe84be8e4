/** Feature files of passes in which the members of an ensemble depend on each other. */
import { canonicalJson } from '../config/canonical.js';
import { ConfigError } from '../config/errors.js';
import type { DataSet } from '../data/open.js';
import type { Services } from '../detectors/index.js';
import { EXTRACTOR_VERSION, featureKey } from '../features/key.js';
import type { Pass } from '../features/pass.js';
import { archOptions } from '../modes/arch.js';
import { startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { type ExtractedMember, type ExtractSettings, fingerprintOf, type StageHooks } from './extract.js';

/**
 * Makes the files of an ensemble that are not in the store, one job a set. A file's key holds the modes before its own, so
 * ensembles that begin with the same modes share theirs.
 */
export function togetherOf(settings: ExtractSettings, hooks: StageHooks = {}): NonNullable<Services['together']> {
  const { sets } = settings;
  return async (names, pass) => {
    const members = names.map((name) => {
      const member = settings.members.find((other) => other.name === name);
      if (!member) throw new ConfigError(`There is no mode ${name}.`);
      return member;
    });
    const kinds = new Set(members.map(({ transform }) => canonicalJson({ ...transform })));
    if (kinds.size > 1) {
      const found = `${names.join('+')} has modes with ${kinds.size} kinds`;
      throw new ConfigError(`gradient: accumulated: expected one kind of preprocessing, ${found}; take gradient: own.`);
    }
    const paths: string[][] = [];
    for (const set of [sets.test, ...sets.out]) paths.push(await filesOfSet(settings, set, members, pass, hooks));
    return paths;
  };
}

/** The files of all members but the first. */
async function filesOfSet(
  settings: ExtractSettings,
  set: DataSet,
  members: readonly ExtractedMember[],
  pass: Pass,
  hooks: StageHooks,
): Promise<string[]> {
  const { store, batchSize, precision, threads, workers } = settings;
  const fingerprint = fingerprintOf(set);
  // Logits alone are stored, always as float32.
  const storage = 'float32';
  const told = (reason: string) =>
    hooks.onLog?.({ type: 'log', level: 'warning', message: `${reason} It is made again.` });
  const files = await Promise.all(
    members.map(async (member, index) => {
      const after = members.slice(0, index).map(({ weightsHash }) => weightsHash);
      const { weightsHash: weights, transform, checkpoint } = member;
      const arch = archOptions(member.arch, member.classes);
      const source = { weights, fingerprint, transform, precision, extractor: EXTRACTOR_VERSION };
      const key = featureKey({ ...source, arch, pass, storage, after });
      return { arch, checkpoint, key, path: store.path(key), isThere: index === 0 || (await store.has(key, told)) };
    }),
  );
  // Whoever comes before a file's mode goes along for its gradient.
  const last = files.findLastIndex(({ isThere }) => !isThere);
  if (last >= 0) {
    hooks.onStage?.(`extract ${set.name} (${members.map(({ name }) => name).join('+')})`);
    const options = {
      members: files.slice(0, last + 1).map(({ arch, checkpoint, key, path, isThere }) => ({
        arch,
        checkpoint,
        outputs: isThere ? [] : [{ pass, path, storage, metadata: { key, fingerprint } } as const],
      })),
      data: set.handle,
      transform: (members[0] as ExtractedMember).transform,
      batchSize,
      precision,
      threads,
      workers,
    };
    const addon = settings.addon ?? getAddon();
    const { skipped } = await startJob((sink) => addon.extract(options, sink), hooks).done;
    const made = files.filter(({ isThere }) => !isThere);
    if (skipped.length > 0) for (const { key } of made) await store.writeSkipped(key, skipped);
  }
  return files.slice(1).map(({ path }) => path);
}
