/** A step that evaluates all modes and ensembles of one architecture, from features and from the scores of the steps before. */
import { canonicalHash, type Json } from '../config/canonical.js';
import { VERSION } from '../config/version.js';
import { getDetector } from '../detectors/index.js';
import { evaluate } from './evaluate.js';
import { hasEvaluation, writeEvaluation } from './evaluation-file.js';
import { servicesOf, tellSkipped } from './extract.js';
import { labelOf, type SetPlace, type Step, scoredSubsets } from './graph.js';
import type { SkippedImages } from './results.js';
import { keepWarnings } from './sets.js';
import { readScores, scoresKey } from './step-fit.js';
import type { StepKind } from './step-kinds.js';
import { togetherOf } from './together.js';
import type { MemberFeatures } from './types.js';
import type { Work } from './work.js';

export const evaluateStep: StepKind = {
  async look(work, step) {
    const key = await evaluationKey(work, step.model as number);
    return { key, isDone: key !== undefined && hasEvaluation(work.folder.steps, key) };
  },

  async perform(work, steps) {
    for (const step of steps) await evaluateOne(work, step);
  },
};

/**
 * What the results of an architecture depend on: sets that are missing or incomplete are so in names and keys. Undefined while something of
 * it is not there.
 */
export async function evaluationKey(work: Work, model: number): Promise<string | undefined> {
  const { detectors, ensembles, experiment, sets, arch } = work.plan(model);
  const { fusion, convention, intervals = null } = experiment.evaluate;
  const of = sets.in.spec.name;
  const places: SetPlace[] = [
    { part: 'test', name: of },
    ...sets.out.map(({ spec }) => ({ part: 'out' as const, name: spec.name })),
  ];
  const files: Json[] = [];
  for (const seed of experiment.seeds) {
    for (const place of places) {
      const found = await work.filesOf(model, seed, place);
      if (!found?.every(({ isThere }) => isThere)) return undefined;
      files.push(found.map(({ key }) => key));
    }
  }
  const scores = await scoreKeys(work, model);
  if (!scores) return undefined;
  return canonicalHash({
    ...{
      what: 'evaluation',
      version: VERSION,
      arch: arch.id,
      seeds: experiment.seeds,
      sets: places.map(({ name }) => name),
    },
    ...{ detectors: detectors.map(({ name, label = name, parameters }) => ({ name, label, parameters })), ensembles },
    ...{ fusion, convention, intervals, files, scores: [...scores.values()] },
  });
}

/** Of each detector of whole sets and each subset, by scoreName; undefined while something is not there. */
async function scoreKeys(work: Work, model: number): Promise<Map<string, string> | undefined> {
  const plan = work.plan(model);
  const keys = new Map<string, string>();
  const networks = await work.networks(model);
  for (const [place, { name, label = name }] of plan.detectors.entries()) {
    if (!('scoreSets' in getDetector(name))) continue;
    for (const members of scoredSubsets(plan)) {
      const key = await scoresKey(work, model, place, members, networks);
      if (key === undefined) return undefined;
      keys.set(scoreName(label, members), key);
    }
  }
  return keys;
}

function scoreName(label: string, members: readonly string[]): string {
  return JSON.stringify([label, ...members]);
}

async function evaluateOne(work: Work, step: Step): Promise<void> {
  const model = step.model as number;
  const { detectors, ensembles, experiment, sets, arch } = work.plan(model);
  const { threads, evaluate: settings } = experiment;
  const isAlone = work.settings.models.length === 1;
  const { hooks, warnings } = keepWarnings(work.hooks);
  const members = (await work.memberFeatures(model, experiment.seeds)) as MemberFeatures[];
  const images: SkippedImages = { skipped: {}, skippedImages: {} };
  const of = sets.in.spec.name;
  const all: [SetPlace, (member: MemberFeatures) => MemberFeatures['test'] | undefined][] = [
    [{ part: 'train', name: of }, ({ train }) => train],
    [{ part: 'test', name: of }, ({ test }) => test],
    ...sets.out.map(({ spec: { name } }): (typeof all)[number] => [{ part: 'out', name }, ({ out }) => out[name]]),
  ];
  for (const [place, pick] of all) {
    const files = members.map(pick).filter((one) => one !== undefined);
    await tellSkipped(work.set(place), labelOf(place), files, work.store, images, hooks);
  }
  const own = await work.membersThere(model);
  const networks = await work.networks(model, hooks);
  const together = togetherOf(work.extraction(model, own), work.hooks);
  const keys = await scoreKeys(work, model);
  const scores = async (label: string, names: readonly string[]) => {
    const key = keys?.get(scoreName(label, names));
    return key === undefined ? undefined : readScores(work, key, 1 + sets.out.length);
  };
  work.hooks.onStage?.(isAlone ? 'evaluate' : step.id);
  const { fusion, convention, intervals } = settings;
  const evaluation = await evaluate(
    { in: of, members, ensembles, detectors, fusion, threads, convention, intervals },
    work.hooks,
    { ...servicesOf(work.addon, experiment.searchMemory), together, networks, scores },
  );
  evaluation.warnings.unshift(...work.warnings, ...warnings);
  const kept = { evaluation: { ...evaluation, arch: arch.id }, images };
  await writeEvaluation(work.folder.steps, (await evaluationKey(work, model)) as string, kept);
}
