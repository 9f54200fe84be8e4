/** The data sets of a run, opened. */
import { type DataSet, openData } from '../data/open.js';
import type { Split } from '../data/spec.js';
import type { FoundSet } from '../data/suite.js';
import { requireSameClasses } from '../modes/train.js';
import type { Addon } from '../native/contract.js';
import type { Plan } from './experiment.js';
import type { StageHooks } from './extract.js';
import type { SetPlace } from './graph.js';
import { openTogether } from './opened.js';
import { type ChosenSet, partOf, tellIncomplete, tellMissing } from './sets.js';

export interface RunSets extends Disposable {
  train: DataSet;
  test: DataSet;
  out: DataSet[];
}

/** Opens all sets before anything is trained: what is missing shows in the first second. */
export async function openRunSets(plan: Plan, addon: Addon, hooks: StageHooks): Promise<RunSets> {
  const { skipBadImages, threads } = plan.experiment;
  const { sets } = plan;
  hooks.onStage?.('open data');
  tellMissing(sets, hooks);
  const { signal, onProgress, onLog } = hooks;
  const shared = { signal, onProgress, onLog, skipBadImages, threads, addon };
  return openTogether(async (keep) => {
    const open = async ({ spec, where, root }: ChosenSet, part: FoundSet | undefined, split?: Split) => {
      const set = keep(await openData(spec, { ...shared, where, root, split }));
      tellIncomplete(part, set, hooks);
      return set;
    };
    const train = await open(sets.in, sets.suite?.train, 'train');
    const test = await open(sets.in, sets.suite?.test, 'test');
    requireSameClasses(train, test);
    const out: DataSet[] = [];
    for (const one of sets.out) out.push(await open(one, partOf(sets, one)));
    return { train, test, out };
  });
}

export function setAt(sets: RunSets, { part, name }: SetPlace): DataSet {
  return part === 'out' ? (sets.out.find((set) => set.name === name) as DataSet) : sets[part];
}
