import { joinMembers, meanOverModes } from '../ensemble/index.js';
import { FeatureFile } from '../features/index.js';
import {
  accuracyOf,
  type Gain,
  type IntervalSettings,
  labelPlaces,
  pairedGain,
  percentileInterval,
  type ResampledAccuracy,
  Resampler,
  resampleAccuracy,
  type Summary,
  summarize,
} from '../metrics/index.js';
import type { JobHooks } from '../native/job.js';
import { boundsOf } from './measure.js';
import { turn } from './turn.js';
import type { AccuracyRow, MemberFeatures } from './types.js';

export interface AccuracyInput {
  /** Name of the in-distribution test set. */
  in: string;
  members: readonly Pick<MemberFeatures, 'name' | 'test'>[];
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

/** The accuracy of a mode or an ensemble. */
export interface FoundAccuracy {
  row: AccuracyRow;
  /** Where intervals are asked for. */
  values: ResampledAccuracy | undefined;
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
  const bootstrap = intervals && accuracyBootstrap(intervals);
  const files: FeatureFile[] = [];
  for (const { test } of input.members) files.push(await FeatureFile.open(test));
  const [first] = files;
  const labels = (await first?.labels()) ?? new Int32Array(0);
  const classes = first?.classes ?? 0;
  const logits: Float32Array[] = [];
  for (const file of files) logits.push(await file.logits());
  const names = input.members.map(({ name }) => name);

  const find = async (kind: AccuracyRow['kind'], members: readonly string[]) => {
    await turn(hooks.signal);
    const mean = meanOverModes(members.map((member) => logits[names.indexOf(member)] as Float32Array));
    return findAccuracy({ kind, members }, { logits: mean, labels, classes, set: input.in }, bootstrap);
  };

  const modes: FoundAccuracy[] = [];
  for (const name of names) modes.push(await find('mode', [name]));
  const ensembles: EnsembleAccuracy[] = [];
  for (const members of input.ensembles) {
    const own = modes.filter(({ row }) => members.includes(row.members));
    const found = await find('ensemble', members);
    const over_mean = gainsOf(found, () => own, intervals);
    const over_best = gainsOf(found, (name) => [bestOf(own, name)], intervals);
    ensembles.push({ ...found.row, over_mean, over_best });
  }
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

export interface AccuracyBootstrap {
  resampler: Resampler;
  level: number;
}

export function accuracyBootstrap({ seed, resamples, level }: IntervalSettings): AccuracyBootstrap {
  return { resampler: new Resampler(seed, resamples), level };
}

/**
 * Accuracy of one mode or ensemble, with intervals where they are asked for.
 *
 * @param on mean logits over the members, row-major, and the labels of the set of that name // [N, C], [N]
 * @throws ModeEnsembleError E_DATA where a label is no class; E_NUMERIC on NaN
 */
export function findAccuracy(
  { kind, members }: { kind: AccuracyRow['kind']; members: readonly string[] },
  on: { logits: Float64Array; labels: Int32Array; classes: number; set: string },
  bootstrap: AccuracyBootstrap | undefined,
): FoundAccuracy {
  const text = joinMembers(members);
  const places = labelPlaces(on.logits, on.labels, on.classes, `${on.set} (${text})`);
  const row: AccuracyRow = { kind, members: text, ...accuracyOf(places, on.classes) };
  const values = bootstrap && resampleAccuracy(places, on.classes, on.set, bootstrap.resampler);
  if (values) Object.assign(row, boundsOf(NAMES, values, bootstrap.level));
  return { row, values };
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
