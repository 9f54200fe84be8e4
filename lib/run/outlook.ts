/** A run before it begins: its steps, what is there, what is missing, and what it costs. Nothing is written. */
import { existsSync } from 'node:fs';
import { hasCode, type ModeEnsembleError } from '../config/errors.js';
import type { LandscapeSection } from '../config/landscape-schema.js';
import type { Experiment, ExperimentInput } from '../config/schema.js';
import { openData } from '../data/open.js';
import { parseOutSpecs } from '../data/spec.js';
import { type FoundSet, type FoundSuite, findSuite, isDrawn, missingSentence } from '../data/suite.js';
import { getSuite } from '../data/suites.js';
import { getDetector } from '../detectors/index.js';
import { checkpointIn } from '../modes/find.js';
import { findGiven } from '../modes/given.js';
import type { Addon } from '../native/contract.js';
import { getAddon } from '../native/load.js';
import type { Plan } from './experiment.js';
import { needsTrainFeatures } from './experiment.js';
import type { StageHooks } from './extract.js';
import { runFolderAt } from './folder.js';
import { makeGraph, type Step } from './graph.js';
import { type Costs, measureCosts } from './measure-costs.js';
import { completeOf, findDone, planModels } from './run.js';
import type { ChosenSet, ChosenSets } from './sets.js';
import { Work } from './work.js';

export interface SetOutlook {
  /** `CIFAR-10 (train)`, or an OoD set's name. */
  set: string;
  part: 'train' | 'test' | 'out';
  state: 'there' | 'incomplete' | 'missing';
  /** Images there; of a missing one those that it should have, if that is known. */
  images: number;
  /** What is wrong, where it is expected and where to get it. */
  message?: string | undefined;
}

/**
 * `there`: the result is there; `stale`: one of other settings is in the way; `to do`: it can begin once what it needs is done;
 * `no data`: a set that it reads is missing.
 */
export type StepState = 'there' | 'stale' | 'to do' | 'no data';

export interface StepCost {
  seconds: number;
  /** That stay on the disk, and that are taken in memory. */
  disk: number;
  memory: number;
}

export interface StepPlan {
  step: string;
  kind: Step['kind'];
  /** Id of the architecture; '' where it is about all of them. */
  arch: string;
  state: StepState;
  /** Why it is stale. */
  message?: string | undefined;
  /** Undefined where nothing was measured. */
  cost?: StepCost | undefined;
}

export interface RunPlan {
  run: string;
  sets: SetOutlook[];
  steps: StepPlan[];
}

export interface OutlookHooks extends StageHooks {
  where?: string | undefined;
  /** False: without costs, which take some seconds for each architecture. */
  measure?: boolean | undefined;
  addon?: Addon | undefined;
}

/**
 * Looks at what a run would do.
 *
 * @throws ModeEnsembleError E_CONFIG for an experiment that cannot be used; what is missing is told, and no error
 */
export async function planRun(experiment: ExperimentInput | string, hooks: OutlookHooks = {}): Promise<RunPlan> {
  const { complete, where } = completeOf(experiment, hooks);
  const addon = hooks.addon ?? getAddon();
  const suite =
    complete.suite === undefined ? undefined : findSuite(getSuite(complete.suite, `${where}: suite`), complete.root);
  const models = planModels(complete, where, addon, suite && hopefulSets(complete, suite, where));
  const sets = await lookAtSets(models[0] as Plan, suite, addon, hooks);
  // A run leaves out OoD sets of a suite that are missing.
  const isOut = ({ spec }: ChosenSet) =>
    !suite || sets.some(({ set, state }) => set === spec.name && state !== 'missing');
  const present = models.map((plan) => ({ ...plan, sets: { ...plan.sets, out: plan.sets.out.filter(isOut) } }));
  const hasNone = present[0]?.sets.out.length === 0;
  const kept = hasNone ? models : present;
  const graph = makeGraph(kept);
  const missing = sets.some(({ state, part }) => state === 'missing' && (part !== 'out' || !suite || hasNone));
  const states = missing
    ? statesWithoutData(graph, kept, complete)
    : await statesOf(graph, kept, complete, addon, hooks);
  const costs = hooks.measure === false ? [] : await allCosts(kept, states, addon, hooks);
  const steps = graph.map((step): StepPlan => {
    const plan = kept[step.model ?? -1];
    const { state, message } = states.get(step.id) as Found;
    const cost = costs[step.model ?? -1];
    const own = cost && plan && costOf(step, plan, cost, sets);
    return { step: step.id, kind: step.kind, arch: plan?.arch.id ?? '', state, message, cost: own };
  });
  return { run: complete.run, sets, steps };
}

interface Found {
  state: StepState;
  message?: string | undefined;
}

/** All sets of a suite, as they would lie where they belong. */
function hopefulSets(experiment: Experiment, suite: FoundSuite, where: string): ChosenSets {
  const { root, out = [] } = experiment;
  const hoped = (part: FoundSet): FoundSet => {
    const place = part.set.places[0] as (typeof part.set.places)[number];
    const { reader, path, split } = place;
    const nothing = { labels: undefined, root: undefined };
    return { ...part, spec: part.spec ?? { name: part.set.name, reader, path, split, ...nothing } };
  };
  const whole = { ...suite, train: hoped(suite.train), test: hoped(suite.test), out: suite.out.map(hoped) };
  const spec = (part: FoundSet) => part.spec as NonNullable<FoundSet['spec']>;
  const own = { ...spec(whole.test), split: undefined };
  const at = `${where}: suite`;
  const ofSuite = whole.out.map((part): ChosenSet => ({ spec: spec(part), where: at, root }));
  const texts = out.map((text, index) => ({ text, where: `${where}: out[${index}]` }));
  const further = parseOutSpecs(texts, own, ofSuite).map(
    (one, i): ChosenSet => ({ spec: one, where: `${where}: out[${i}]`, root }),
  );
  return { in: { spec: own, where: at, root }, out: [...ofSuite, ...further], suite: whole };
}

async function lookAtSets(
  plan: Plan,
  suite: FoundSuite | undefined,
  addon: Addon,
  hooks: OutlookHooks,
): Promise<SetOutlook[]> {
  const { in: own, out, suite: hoped } = plan.sets;
  const { threads, skipBadImages } = plan.experiment;
  hooks.onStage?.('look at the data');
  const partOfSuite = (chosen: ChosenSet) => hoped?.out.findIndex(({ spec }) => spec === chosen.spec) ?? -1;
  const all: [SetOutlook['part'], ChosenSet, FoundSet | undefined, string][] = [
    ['train', own, suite?.train, `${own.spec.name} (train)`],
    ['test', own, suite?.test, `${own.spec.name} (test)`],
    ...out.map((one): (typeof all)[number] => ['out', one, suite?.out[partOfSuite(one)], one.spec.name]),
  ];
  const found: SetOutlook[] = [];
  for (const [part, { spec, where, root }, known, set] of all) {
    const expected = known?.images ?? 0;
    if (known && !known.spec && !isDrawn((suite as FoundSuite).suite)) {
      found.push({ set, part, state: 'missing', images: expected, message: missingSentence(known) });
      continue;
    }
    try {
      const split = part === 'out' ? undefined : part;
      const { signal } = hooks;
      using opened = await openData(spec, { signal, threads, skipBadImages, addon, where, root, split });
      const { count: images } = opened;
      const state = images < expected ? 'incomplete' : 'there';
      const message = state === 'there' ? undefined : `${images} of ${expected} images`;
      found.push({ set, part, state, images, message });
    } catch (error) {
      if (!hasCode(error, 'E_DATA') && !hasCode(error, 'E_IO')) throw error;
      found.push({ set, part, state: 'missing', images: expected, message: (error as Error).message });
    }
  }
  return found;
}

/** Without the data no key is known; modes that are there are there. */
function statesWithoutData(graph: readonly Step[], models: readonly Plan[], { root }: Experiment): Map<string, Found> {
  return new Map(
    graph.map(({ id, kind, model = 0, seed = 0 }) => {
      const { experiment, arch } = models[model] as Plan;
      const folder = runFolderAt(experiment.run);
      const { checkpoints: pattern } = experiment;
      const given = pattern === undefined ? undefined : findGiven({ pattern, arch: experiment.arch, seed, root });
      const isThere = kind === 'train' && (given !== undefined || existsSync(checkpointIn(folder.mode(arch.id, seed))));
      return [id, { state: isThere ? 'there' : 'no data' }];
    }),
  );
}

async function statesOf(
  graph: readonly Step[],
  models: readonly Plan[],
  experiment: Experiment,
  addon: Addon,
  hooks: OutlookHooks,
): Promise<Map<string, Found>> {
  const { signal, onStage } = hooks;
  using work = await Work.open({ models, folder: runFolderAt(experiment.run), addon, hooks: { signal, onStage } });
  const stale = new Map<string, string>();
  for (const { id, kind, model = 0, seed = 0 } of graph) {
    if (kind !== 'train' || work.given(model, seed) !== undefined) continue;
    try {
      await work.outlook(model, seed);
    } catch (error) {
      if (!hasCode(error, 'E_CONFIG')) throw error;
      stale.set(id, (error as ModeEnsembleError).message);
    }
  }
  const sound = graph.filter(({ id }) => !stale.has(id));
  const done = await findDone(
    work,
    sound.filter(({ needs }) => !needs.some((need) => stale.has(need))),
  );
  return new Map(
    graph.map(({ id }): [string, Found] => {
      const message = stale.get(id);
      return [id, { state: message === undefined ? (done.has(id) ? 'there' : 'to do') : 'stale', message }];
    }),
  );
}

async function allCosts(
  models: readonly Plan[],
  states: ReadonlyMap<string, Found>,
  addon: Addon,
  hooks: OutlookHooks,
): Promise<Costs[]> {
  if ([...states.values()].every(({ state }) => state === 'there')) return [];
  const costs: Costs[] = [];
  for (const plan of models) {
    hooks.onStage?.(`measure ${plan.arch.id}`);
    const classes = addon.findArchitecture(plan.arch.name)?.classes ?? 10;
    costs.push(await measureCosts(plan, classes, addon, hooks));
  }
  return costs;
}

/** Numbers of all OoD sets and the test set are held while scores are measured; a score is a float64. */
const SCORE_BYTES = 8;
/** Seconds for a row, a subset and a detector that reads logits, and to measure a score: the order of magnitude. */
const ROW_SECONDS = 4e-7;

function costOf(step: Step, plan: Plan, costs: Costs, sets: readonly SetOutlook[]): StepCost | undefined {
  const imagesOf = (part: SetOutlook['part'], name?: string) =>
    sets
      .filter((set) => set.part === part && (name === undefined || part !== 'out' || set.set === name))
      .reduce((sum, { images }) => sum + images, 0);
  const { experiment, detectors, ensembles } = plan;
  const rows = imagesOf('test') + imagesOf('out');
  const base = 300e6;
  switch (step.kind) {
    case 'train': {
      const { epochs } = experiment.train;
      const seconds = epochs * (imagesOf('train') / costs.trainRate + imagesOf('test') / costs.plainRate);
      return { seconds, disk: costs.checkpointBytes, memory: costs.trainMemory };
    }
    case 'extract': {
      const { part = 'test', name } = step.set ?? {};
      const images = imagesOf(part, name);
      const [rate, bytes] =
        part === 'train' ? [costs.plainRate, costs.plainRowBytes] : [costs.extractRate, costs.rowBytes];
      return { seconds: images / rate, disk: images * bytes, memory: costs.extractMemory };
    }
    case 'fit': {
      const { subsets = [], detector = 0 } = step;
      const { name } = detectors[detector] as (typeof detectors)[number];
      const members = subsets.reduce((sum, { length }) => sum + length, 0);
      const train = imagesOf('train');
      // What goes back to the networks does so with 1,000 images and their adversarial copies, and a backward pass of each.
      const stages = getDetector(name).needs(detectors[detector]?.parameters ?? {}).stages;
      const seconds = stages
        ? members * (4000 / costs.plainRate) + (members * train * costs.plainRowBytes) / 1e9
        : subsets.length * train * rows * costs.pairSeconds;
      const memory = base + (needsTrainFeatures(detectors) ? train * costs.plainRowBytes : 0);
      return { seconds, disk: subsets.length * rows * SCORE_BYTES, memory };
    }
    case 'evaluate': {
      const pairs = (experiment.seeds.length + ensembles.length) * detectors.length;
      const bytes = pairs * rows * SCORE_BYTES;
      return { seconds: pairs * rows * ROW_SECONDS, disk: bytes, memory: base + 2 * bytes };
    }
    case 'landscape': {
      const { grid, images } = experiment.landscape as LandscapeSection;
      const least = (all: number) => (images === 'all' ? all : Math.min(all, images));
      const sum = sets.filter(({ part }) => part !== 'train').reduce((all, set) => all + least(set.images), 0);
      const points = experiment.seeds.length * grid ** 2;
      return { seconds: (points * sum) / costs.plainRate, disk: points * sets.length * SCORE_BYTES, memory: base };
    }
    default:
      return undefined;
  }
}
