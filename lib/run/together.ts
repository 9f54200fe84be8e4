/** Feature files of passes in which the members of an ensemble depend on each other. */
import { canonicalJson } from '../config/canonical.js';
import { ConfigError } from '../config/errors.js';
import type { DataSet } from '../data/open.js';
import type { Services } from '../detectors/index.js';
import type { Pass } from '../features/pass.js';
import { archOptions } from '../modes/arch.js';
import { keepBetweenJobs } from '../native/between-jobs.js';
import { startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';
import { type ExtractedMember, type ExtractSettings, lookUp, type StageHooks } from './extract.js';

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
    const kinds = new Set(members.map((member) => canonicalJson({ ...member.transform })));
    if (kinds.size > 1) {
      const found = `found ${kinds.size} in ${names.join('+')}`;
      throw new ConfigError(
        `gradient: accumulated: expected modes with one preprocessing, whose gradients can be added up, ${found}; take gradient: own.`,
      );
    }
    using _kept = keepBetweenJobs(settings.addon ?? getAddon());
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
  const { store, batchSize, device = 'cpu', precision, threads, workers, storage = 'float32' } = settings;
  const files = await Promise.all(
    members.map((member, index) => lookUp(settings, set, member, { pass, after: members.slice(0, index) }, hooks)),
  );
  const others = files.slice(1);
  const missing = others.filter(({ isThere }) => !isThere);
  // Whoever comes before a file's mode goes along for its gradient.
  const last = files.indexOf(missing.at(-1) as (typeof files)[number]);
  if (last >= 0) {
    hooks.onStage?.(`extract ${set.name} (${members.map(({ name }) => name).join('+')})`);
    const options = {
      members: files.slice(0, last + 1).map((file) => ({
        arch: archOptions(file.member.arch, file.member.classes),
        checkpoint: file.member.checkpoint,
        stageScores: [],
        outputs: missing.includes(file) ? [{ pass, path: file.path, storage, metadata: file.metadata }] : [],
      })),
      data: set.handle,
      transform: (members[0] as ExtractedMember).transform,
      batchSize,
      device,
      precision,
      threads,
      workers,
    };
    const addon = settings.addon ?? getAddon();
    const { skipped } = await startJob((sink) => addon.extract(options, sink), hooks).done;
    if (skipped.length > 0) for (const { key } of missing) await store.writeSkipped(key, skipped);
  }
  return others.map(({ path }) => path);
}
