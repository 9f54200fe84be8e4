/** A step that scores whole sets for some modes and ensembles, with a detector that learns from the training data. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalHash, type Json } from '../config/canonical.js';
import { hasCode, ModeEnsembleError } from '../config/errors.js';
import { getDetector, resolveParameters, type SetDetector } from '../detectors/index.js';
import { joinMembers } from '../ensemble/index.js';
import { distinctPasses, PLAIN, passId } from '../features/pass.js';
import { openSafetensors, readFloat64 } from '../features/safetensors.js';
import { writeVectors } from '../features/write-safetensors.js';
import { servicesOf } from './extract.js';
import type { SetPlace, Step } from './graph.js';
import type { StoredNetworks } from './networks.js';
import { openSets, openTrain } from './open-sets.js';
import { scoreSubset } from './score-features.js';
import type { StepKind } from './step-kinds.js';
import { turn } from './turn.js';
import type { MemberFeatures } from './types.js';
import type { Work } from './work.js';

/** Raise it whenever a detector's scores come out differently from the same files. */
const VERSION = 1;

interface FitStep extends Step {
  model: number;
  detector: number;
  subsets: readonly (readonly string[])[];
}

export const fitStep: StepKind = {
  async look(work, step) {
    const { model, detector, subsets } = step as FitStep;
    const networks = await work.networks(model);
    const keys: string[] = [];
    for (const members of subsets) {
      const key = await scoresKey(work, model, detector, members, networks);
      if (key === undefined) return { key: undefined, isDone: false };
      keys.push(key);
    }
    return { key: canonicalHash({ scores: keys }), isDone: keys.every((key) => existsSync(scoresPath(work, key))) };
  },

  async perform(work, steps) {
    for (const step of steps) await fitOne(work, step as FitStep);
  },
};

async function fitOne(work: Work, { id, model, detector: place, subsets }: FitStep): Promise<void> {
  const { detectors, experiment, sets: chosen } = work.plan(model);
  const { name, parameters } = detectors[place] as (typeof detectors)[number];
  const detector = getDetector(name) as SetDetector;
  work.hooks.onStage?.(id);
  const networks = await work.networks(model);
  const services = { ...servicesOf(work.addon), networks };
  const passes = distinctPasses([PLAIN, ...detector.needs(resolveParameters(detector, parameters)).passes]);
  const outNames = chosen.out.map(({ spec }) => spec.name);
  for (const [index, members] of subsets.entries()) {
    await turn(work.hooks.signal);
    const key = (await scoresKey(work, model, place, members, networks)) as string;
    if (existsSync(scoresPath(work, key))) continue;
    const features = (await work.memberFeatures(model, members.map(Number))) as MemberFeatures[];
    const sets = await openSets(chosen.in.spec.name, outNames, features, passes);
    const isFitted = detector.needs(resolveParameters(detector, parameters)).fit === 'train';
    const train = isFitted ? await openTrain(features, name) : undefined;
    const { signal, onLog } = work.hooks;
    const onProgress: typeof work.hooks.onProgress = (event) =>
      work.hooks.onProgress?.({
        ...event,
        done: index * event.total + event.done,
        total: subsets.length * event.total,
      });
    const own = { members, places: members.map((_, i) => i), sets, train, threads: experiment.threads };
    const scores = await scoreSubset({ detector, parameters, ...own, hooks: { signal, onLog, onProgress }, services });
    await writeVectors(scoresPath(work, key), new Map(scores.map((values, i) => [String(i), values])), {
      key,
      detector: name,
      members: joinMembers(members),
    });
  }
}

/** What the scores of these modes and a detector depend on; undefined while something of it is not there. */
export async function scoresKey(
  work: Work,
  model: number,
  place: number,
  members: readonly string[],
  networks: StoredNetworks,
): Promise<string | undefined> {
  const { detectors, sets } = work.plan(model);
  const { name, parameters: given } = detectors[place] as (typeof detectors)[number];
  const detector = getDetector(name) as SetDetector;
  const parameters = resolveParameters(detector, given);
  const needs = detector.needs(parameters);
  const passes = [PLAIN, ...needs.passes].map(passId);
  const of = sets.in.spec.name;
  const places: SetPlace[] = [
    ...(needs.fit === 'train' ? [{ part: 'train' as const, name: of }] : []),
    { part: 'test', name: of },
    ...sets.out.map(({ spec }) => ({ part: 'out' as const, name: spec.name })),
  ];
  const files: Json[] = [];
  for (const member of members) {
    for (const set of places) {
      const found = await work.filesOf(model, Number(member), set);
      if (!found) return undefined;
      const read = found.filter(({ pass }) => passes.includes(passId(pass)));
      if (read.some(({ isThere }) => !isThere)) return undefined;
      files.push(read.map(({ key }) => key));
    }
  }
  const further = (await detector.dependsOn?.(members, parameters, networks)) ?? null;
  return canonicalHash({ what: 'scores', version: VERSION, detector: name, parameters, files, further });
}

function scoresPath(work: Work, key: string): string {
  return join(work.folder.steps, `scores-${key}.safetensors`);
}

/**
 * Scores that a step has made before, the test set's first; undefined where there are none.
 *
 * @throws ModeEnsembleError E_DATA where the file is damaged, E_IO
 */
export async function readScores(work: Work, key: string, sets: number): Promise<Float64Array[] | undefined> {
  const path = scoresPath(work, key);
  if (!existsSync(path)) return undefined;
  try {
    const file = await openSafetensors(path);
    if (file.metadata.key !== key || file.tensors.size !== sets) {
      throw new ModeEnsembleError('E_DATA', `${path} holds other scores: its key is ${file.metadata.key}.`);
    }
    const scores: Float64Array[] = [];
    for (let i = 0; i < sets; i++) scores.push(await readFloat64(file, String(i), 1));
    return scores;
  } catch (error) {
    if (!hasCode(error, 'E_DATA')) throw error;
    work.warn(`${(error as Error).message} They are made again.`);
    return undefined;
  }
}
