/** A step that passes one set through one mode. Those of one set go together: each image is then decoded once. */
import { canonicalHash } from '../config/canonical.js';
import { PLAIN, passId } from '../features/pass.js';
import { besideOf } from './beside.js';
import { needsTrainFeatures } from './experiment.js';
import { type ExtractedMember, extractSet, requireOwnGradients } from './extract.js';
import { labelOf, type SetPlace, type Step } from './graph.js';
import type { StepKind } from './step-kinds.js';
import type { Work } from './work.js';

interface ExtractStep extends Step {
  model: number;
  seed: number;
  set: SetPlace;
}

export const extractStep: StepKind = {
  async look(work, step) {
    const { model, seed, set } = step as ExtractStep;
    const files = await work.filesOf(model, seed, set);
    if (!files) return { key: undefined, isDone: false };
    const key = canonicalHash({ features: files.map((file) => file.key) });
    return { key, isDone: files.every(({ isThere }) => isThere) };
  },

  async perform(work, steps) {
    const [{ model, set: place }] = steps as readonly ExtractStep[] as [ExtractStep];
    const members: ExtractedMember[] = [];
    for (const { seed } of steps as readonly ExtractStep[]) {
      members.push((await work.member(model, seed)) as ExtractedMember);
    }
    const settings = { ...work.extraction(model, members), passes: work.passes(model, place) };
    requireOwnGradients(settings);
    const set = work.set(place);
    const isAlone = work.settings.models.length === 1;
    const label = `${isAlone ? '' : `${work.plan(model).arch.id}, `}${labelOf(place)}`;
    const result = { made: 0, reused: 0, madePaths: [] };
    await extractSet(settings, set, label, result, work.hooks, await besideStep(work, model, place));
    work.features.made += result.made;
    work.features.reused += result.reused;
  },
};

/** What detectors will ask of the networks, made on the way. */
async function besideStep(work: Work, model: number, place: SetPlace) {
  const { detectors, sets } = work.plan(model);
  if (place.part === 'train' || !needsTrainFeatures(detectors)) return undefined;
  const beside = besideOf(detectors, await work.networks(model), work.hooks);
  return async (member: ExtractedMember) => {
    const train = await work.passFiles(model, Number(member.name), { part: 'train', name: sets.in.spec.name });
    return beside(work.set(place), member.name, train?.[passId(PLAIN)]);
  };
}
