import { ModeEnsembleError } from '../config/errors.js';
import { joinMembers } from '../ensemble/index.js';
import {
  BETTER,
  type ConventionName,
  type Interval,
  type IntervalSettings,
  MEASURE_NAMES,
  type MeasureName,
  measure,
  PairResampling,
  pairedGain,
  percentileInterval,
  type ResampledMeasures,
  type ResampleOptions,
  Resampler,
  recordOf,
} from '../metrics/index.js';
import type { JobHooks } from '../native/job.js';
import { turn } from './turn.js';
import type { Bounds, Evaluation, GainIntervals, ResultRow } from './types.js';

/** What is measured: the scores of each detector and subset on each data set. */
export interface Scored {
  /** Name of the in-distribution set. */
  in: string;
  /** Names of the OoD sets. */
  out: readonly string[];
  detectors: readonly string[];
  /** The modes and ensembles. */
  subsets: readonly Subset[];
  /** Scores, larger = in-distribution; set 0 is the in-distribution set, then the OoD sets in order. // [N] */
  scoresOf(detector: string, subset: number, set: number): Float64Array;
}

interface Subset {
  kind: 'mode' | 'ensemble';
  members: readonly string[];
  /** Id of their architecture. */
  arch: string;
}

export interface MeasureSettings {
  /** Default: `reference`. */
  convention?: ConventionName | undefined;
  intervals?: IntervalSettings | undefined;
}

export type Measured = Pick<Evaluation, 'convention' | 'rows' | 'intervals' | 'gains' | 'warnings'>;

export type MeasureHooks = Pick<JobHooks, 'signal' | 'onLog' | 'onProgress'>;

/** A mode or ensemble with one detector on one OoD set. */
interface Found {
  subset: Subset;
  row: ResultRow;
  /** Where intervals are asked for. */
  values: ResampledMeasures | undefined;
}

/**
 * Rows by OoD set, then detector, then subset: as results.csv is read. All subsets and detectors see the same resamples
 * of a set, so that an ensemble can be set against its own modes image by image.
 *
 * @throws ModeEnsembleError E_NUMERIC naming the set and the image of a score that is not finite; E_DATA where scores of one
 * set differ in length; E_ABORTED
 */
export async function measureAll(
  scored: Scored,
  settings: MeasureSettings = {},
  hooks: MeasureHooks = {},
): Promise<Measured> {
  requireSameLengths(scored);
  const { convention = 'reference', intervals } = settings;
  const bootstrap = intervals && new Bootstrap(intervals, pairsOf(scored), hooks);
  const measured: Measured = { convention, rows: [], warnings: [] };
  const gains: GainIntervals[] = [];
  for (const [outIndex, out] of scored.out.entries()) {
    for (const detector of scored.detectors) {
      const group: Found[] = [];
      for (const [index, subset] of scored.subsets.entries()) {
        await turn(hooks.signal);
        const { kind, members } = subset;
        const of = `(${detector}, ${kind} ${joinMembers(members)})`;
        const inScores = scored.scoresOf(detector, index, 0);
        const outScores = scored.scoresOf(detector, index, outIndex + 1);
        const options = { convention, names: { in: `${scored.in} ${of}`, out: `${out} ${of}` } };
        const { warnings, ...measures } = measure(inScores, outScores, options);
        for (const message of warnings) {
          measured.warnings.push(message);
          hooks.onLog?.({ type: 'log', level: 'warning', message });
        }
        const pair = { ...options, sets: { in: scored.in, out } };
        const values = await bootstrap?.resample(inScores, outScores, pair);
        const row: ResultRow = {
          in: scored.in,
          out,
          arch: subset.arch,
          detector,
          kind,
          members: joinMembers(members),
          n_in: inScores.length,
          n_out: outScores.length,
          ...measures,
        };
        if (values && intervals) Object.assign(row, boundsOf(MEASURE_NAMES, values, intervals.level));
        measured.rows.push(row);
        group.push({ subset, row, values });
      }
      if (intervals) gains.push(...gainsOf(group, intervals.level));
    }
  }
  return intervals ? { ...measured, intervals, gains } : measured;
}

/** One data set has one number of images, whoever scores it. */
function requireSameLengths({ in: inName, out, detectors, subsets, scoresOf }: Scored): void {
  for (const [set, name] of [inName, ...out].entries()) {
    let expected: number | undefined;
    for (const detector of detectors) {
      for (const [index, { kind, members }] of subsets.entries()) {
        const { length } = scoresOf(detector, index, set);
        expected ??= length;
        if (length === expected) continue;
        const of = `(${detector}, ${kind} ${joinMembers(members)})`;
        const what = `expected ${expected} as for the first detector and mode, found ${length}`;
        throw new ModeEnsembleError('E_DATA', `The scores of ${name} ${of} are of another number of images: ${what}.`);
      }
    }
  }
}

function pairsOf({ out, detectors, subsets }: Scored): number {
  return out.length * detectors.length * subsets.length;
}

/** Images that are passed over before others get a turn: some tens of milliseconds. */
const IMAGES_A_TURN = 1_000_000;

/** The resamples of all pairs of score vectors, with progress in resamples. */
class Bootstrap {
  private readonly resampler: Resampler;
  private readonly began = performance.now();
  private done = 0;

  constructor(
    { seed, resamples }: IntervalSettings,
    private readonly pairs: number,
    private readonly hooks: MeasureHooks,
  ) {
    this.resampler = new Resampler(seed, resamples);
  }

  async resample(
    inScores: Float64Array,
    outScores: Float64Array,
    options: Omit<ResampleOptions, 'resampler'>,
  ): Promise<ResampledMeasures> {
    const { resamples } = this.resampler;
    const pair = new PairResampling(inScores, outScores, { ...options, resampler: this.resampler });
    const step = Math.max(1, Math.floor(IMAGES_A_TURN / pair.images));
    for (let from = 0; from < resamples; from += step) {
      await turn(this.hooks.signal);
      const to = Math.min(from + step, resamples);
      pair.run(from, to);
      this.report(to - from);
    }
    return pair.values;
  }

  private report(more: number): void {
    this.done += more;
    const rate = this.done / Math.max((performance.now() - this.began) / 1000, 1e-3);
    const total = this.pairs * this.resampler.resamples;
    this.hooks.onProgress?.({ type: 'progress', phase: 'intervals', done: this.done, total, rate });
  }
}

/** `NAME_lo` and `NAME_hi` of each vector of resampled values. */
export function boundsOf<Name extends string>(
  names: readonly Name[],
  values: { [Key in Name]?: Float64Array | undefined },
  level: number,
): Bounds<Name> {
  const entries = names.flatMap((name) => {
    const vector = values[name];
    if (!vector) return [];
    const [low, high] = percentileInterval(vector, level);
    return [
      [`${name}_lo`, low],
      [`${name}_hi`, high],
    ];
  });
  return Object.fromEntries(entries) as Bounds<Name>;
}

/** What each ensemble gains over its own modes, one detector on one OoD set. */
function gainsOf(group: readonly Found[], level: number): GainIntervals[] {
  const modes = new Map<string, Found>();
  for (const found of group) if (found.subset.kind === 'mode') modes.set(found.row.members, found);
  return group.flatMap(({ subset, row, values }) => {
    const own = subset.members.flatMap((member) => modes.get(member) ?? []);
    if (subset.kind === 'mode' || own.length === 0 || !values) return [];
    const gain = (name: MeasureName, members: readonly Found[]): Interval => {
      const vectors = members.flatMap((member) => member.values?.[name] ?? []);
      return percentileInterval(pairedGain(values[name], vectors, BETTER[name]), level);
    };
    const { out, detector, members } = row;
    const mean = recordOf((name) => gain(name, own));
    const best = recordOf((name) => gain(name, [bestOf(own, name)]));
    return [{ out, detector, members, mean, best }];
  });
}

/** The first where several are as good. */
function bestOf(modes: readonly Found[], name: MeasureName): Found {
  const sign = BETTER[name] === 'lower' ? -1 : 1;
  return modes.reduce((best, mode) => (sign * mode.row[name] > sign * best.row[name] ? mode : best));
}
