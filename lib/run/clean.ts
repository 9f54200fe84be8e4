import { joinMembers, MEMBER_SEPARATOR } from '../ensemble/index.js';
import { FeatureFile, PLAIN, passId } from '../features/index.js';
import {
  type Gain,
  type IntervalSettings,
  pairedGain,
  percentileInterval,
  type Summary,
  summarize,
} from '../metrics/index.js';
import type { JobHooks } from '../native/job.js';
import { type FoundAccuracy, findAccuracies } from './accuracy.js';
import { makeSubsets } from './subsets.js';
import type { AccuracyRow, MemberFeatures } from './types.js';

export interface AccuracyInput {
  /** Name of the in-distribution test set. */
  in: string;
  members: readonly Pick<MemberFeatures, 'name' | 'arch' | 'test'>[];
  /** Each an ensemble, by member names. */
  ensembles: readonly (readonly string[])[];
  intervals?: IntervalSettings | undefined;
}

export interface AccuracyGains {
  top1: Gain;
  top5?: Gain | undefined;
}

export interface EnsembleAccuracy extends AccuracyRow {
  over_mean: AccuracyGains;
  /** Over the mode that is best on all images, the first of them where several are. */
  over_best: AccuracyGains;
}

export interface MeasuredAccuracy {
  modes: AccuracyRow[];
  /** Of the modes, as fractions. `top5` is absent where there are fewer than six classes. */
  top1: Summary;
  top5?: Summary | undefined;
  ensembles: EnsembleAccuracy[];
  /** The one of all modes together, where it is among the ensembles. */
  ensemble?: EnsembleAccuracy | undefined;
  /** How the intervals were made, where they were asked for. */
  intervals?: IntervalSettings | undefined;
}

const NAMES = ['top1', 'top5'] as const;

/**
 * Accuracy of each mode, and of ensembles by their mean logits. All of them see the same resamples.
 *
 * @throws ModeEnsembleError E_DATA where a label is no class; E_NUMERIC on NaN; E_ABORTED
 */
export async function measureAccuracy(
  input: AccuracyInput,
  hooks: Pick<JobHooks, 'signal'> = {},
): Promise<MeasuredAccuracy> {
  const { intervals } = input;
  const files: FeatureFile[] = [];
  for (const { test } of input.members) files.push(await FeatureFile.open(test[passId(PLAIN)] as string));
  const names = input.members.map(({ name }) => name);
  const subsets = makeSubsets(input.members, input.ensembles);
  const found = await findAccuracies({ name: input.in, files, subsets, intervals }, hooks.signal);
  const modes = found.filter(({ row }) => row.kind === 'mode');
  const ensembles = found
    .filter(({ row }) => row.kind === 'ensemble')
    .map((ensemble): EnsembleAccuracy => {
      const members = ensemble.row.members.split(MEMBER_SEPARATOR);
      const own = modes.filter(({ row }) => members.includes(row.members));
      const over_mean = gainsOf(ensemble, () => own, intervals);
      const over_best = gainsOf(ensemble, (name) => [bestOf(own, name)], intervals);
      return { ...ensemble.row, over_mean, over_best };
    });
  const rows = modes.map(({ row }) => row);
  const whole = ensembles.find(({ members }) => members === joinMembers(names));
  const top5 = rows.flatMap((row) => row.top5 ?? []);
  return {
    modes: rows,
    top1: summarize(rows.map(({ top1 }) => top1)),
    ...(top5.length > 0 ? { top5: summarize(top5) } : {}),
    ensembles,
    ...(whole ? { ensemble: whole } : {}),
    ...(intervals ? { intervals } : {}),
  };
}

type Name = (typeof NAMES)[number];

/** What an ensemble gains over the mean of the modes that `pick` gives. */
function gainsOf(
  { row, values }: FoundAccuracy,
  pick: (name: Name) => readonly FoundAccuracy[],
  intervals: IntervalSettings | undefined,
): AccuracyGains {
  const gainOf = (name: Name): Gain => {
    const modes = pick(name);
    const gain = valueOf(row, name) - summarize(modes.map((mode) => valueOf(mode.row, name))).mean;
    const vector = values?.[name];
    if (!vector || !intervals) return { gain };
    const members = modes.flatMap((mode) => mode.values?.[name] ?? []);
    const [lo, hi] = percentileInterval(pairedGain(vector, members, 'higher'), intervals.level);
    return { gain, lo, hi };
  };
  return row.top5 === undefined ? { top1: gainOf('top1') } : { top1: gainOf('top1'), top5: gainOf('top5') };
}

/** The first where several are as good. */
function bestOf(modes: readonly FoundAccuracy[], name: Name): FoundAccuracy {
  return modes.reduce((best, mode) => (valueOf(mode.row, name) > valueOf(best.row, name) ? mode : best));
}

function valueOf(row: AccuracyRow, name: Name): number {
  return row[name] ?? Number.NaN;
}
