/** A run as a graph of small steps, each of which can be done again, or by another process, without the others. */

import { getDetector } from '../detectors/index.js';
import { FUSE_LOGITS, resolveSubsets } from '../ensemble/index.js';
import type { Plan } from './experiment.js';
import { needsTrainFeatures } from './experiment.js';

/** In the order in which they come. */
export const STEP_KINDS = ['train', 'extract', 'fit', 'evaluate', 'landscape', 'report'] as const;
export type StepKindName = (typeof STEP_KINDS)[number];

/** Which set: the two parts of the in-distribution set, or an OoD set by its name. */
export interface SetPlace {
  part: 'train' | 'test' | 'out';
  name: string;
}

export interface Step {
  /** Unique, and readable: `train cifar-resnet18 1000`. */
  id: string;
  kind: StepKindName;
  /** Ids of the steps whose results it reads. */
  needs: readonly string[];
  /** Steps of one group that are ready together are done in one go: a set's images are then decoded once. */
  group?: string | undefined;
  /** Place of its architecture among those of the run; undefined where it is about all of them. */
  model?: number | undefined;
  /** Of `train` and `extract`. */
  seed?: number | undefined;
  /** Of `extract`. */
  set?: SetPlace | undefined;
  /** Of `fit`: the detector's place, and the subsets, each by its members. */
  detector?: number | undefined;
  subsets?: readonly (readonly string[])[] | undefined;
}

/** Subsets of modes whose scores one step of a detector makes. */
const SUBSETS_A_FIT = 16;

/** The steps of a run, each behind those that it needs. */
export function makeGraph(models: readonly Plan[]): Step[] {
  const steps: Step[] = [];
  for (const [model, plan] of models.entries()) steps.push(...stepsOf(plan, model));
  const rank = ({ kind }: Step) => STEP_KINDS.indexOf(kind);
  // By kind, so that what is done in one go is ready together.
  steps.sort((a, b) => rank(a) - rank(b));
  const shown = steps.filter(({ kind }) => kind === 'evaluate' || kind === 'landscape').map(({ id }) => id);
  return [...steps, { id: 'report', kind: 'report', needs: shown }];
}

function stepsOf(plan: Plan, model: number): Step[] {
  const { arch, experiment, sets, detectors } = plan;
  const { id: of } = arch;
  const needsTrain = needsTrainFeatures(detectors);
  const places: SetPlace[] = [
    ...(needsTrain ? [{ part: 'train' as const, name: sets.in.spec.name }] : []),
    { part: 'test', name: sets.in.spec.name },
    ...sets.out.map(({ spec }) => ({ part: 'out' as const, name: spec.name })),
  ];
  const trainOf = (seed: number | string) => `train ${of} ${seed}`;
  const extractOf = (seed: number | string, place: SetPlace) => `extract ${of} ${seed} ${labelOf(place)}`;
  const train = experiment.seeds.map((seed): Step => ({ id: trainOf(seed), kind: 'train', needs: [], model, seed }));
  const extract = places.flatMap((set) =>
    experiment.seeds.map((seed): Step => {
      const learnt = needsTrain && set.part !== 'train' ? [extractOf(seed, places[0] as SetPlace)] : [];
      const needs = [trainOf(seed), ...learnt];
      return { id: extractOf(seed, set), kind: 'extract', needs, group: `${of} ${labelOf(set)}`, model, seed, set };
    }),
  );
  const fit = detectors.flatMap(({ name, label }, detector) => {
    if (!('scoreSets' in getDetector(name))) return [];
    const chunks = chunksOf(scoredSubsets(plan), SUBSETS_A_FIT);
    return chunks.map((subsets, index): Step => {
      const members = [...new Set(subsets.flat())];
      const needs = members.flatMap((member) => places.map((place) => extractOf(member, place)));
      const place = chunks.length > 1 ? ` ${index + 1}/${chunks.length}` : '';
      return { id: `fit ${of} ${label ?? name}${place}`, kind: 'fit', needs, model, detector, subsets };
    });
  });
  const needs = [...extract, ...fit].map(({ id }) => id);
  const evaluate: Step = { id: `evaluate ${of}`, kind: 'evaluate', needs, model };
  const modes = train.map(({ id }) => id);
  const landscape = experiment.landscape
    ? [{ id: `landscape ${of}`, kind: 'landscape' as const, needs: modes, model }]
    : [];
  return [...train, ...extract, ...fit, evaluate, ...landscape];
}

/** The modes and ensembles whose scores are made from features; the others come from the scores of their modes. */
export function scoredSubsets({ experiment, ensembles }: Plan): string[][] {
  const names = experiment.seeds.map(String);
  const modes = names.map((name) => [name]);
  return FUSE_LOGITS[experiment.evaluate.fusion] ? [...modes, ...resolveSubsets(ensembles, names)] : modes;
}

/** `shapes (train)`, `shapes (test)`, or the name of an OoD set. */
export function labelOf({ part, name }: SetPlace): string {
  return part === 'out' ? name : `${name} (${part})`;
}

export function chunksOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

/** The steps that need one of these, directly or not. */
export function dependentsOf(steps: readonly Step[], ids: ReadonlySet<string>): Set<string> {
  const found = new Set<string>();
  // Each step stands behind those that it needs.
  for (const { id, needs } of steps) if (needs.some((need) => ids.has(need) || found.has(need))) found.add(id);
  return found;
}
