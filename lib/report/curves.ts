/**
 * What charts are made of and tables are not: ROC curves, histograms, agreement. It is small and bounded, whatever the number of
 * images and of ensembles, so that a run folder can keep it and make its report again without scores.
 */
import { MEMBER_SEPARATOR } from '../ensemble/index.js';
import { agreementOf, buildCurve } from '../metrics/index.js';
import type { Agreement, Evaluation, Results, ScoreSet } from '../run/types.js';
import { histogram, inThreshold, scoreRange } from './histogram.js';
import { largestEnsemble } from './summary.js';
import { thin } from './thin.js';

/** Of a mode, or of the ensemble that is charted. */
export interface RocCurve {
  detector: string;
  out: string;
  kind: 'mode' | 'ensemble';
  /** Joined by `+`. */
  members: string;
  /** Shares of the OoD images accepted, from 0 to 1. // [K] */
  fpr: number[];
  /** Shares of the InD images accepted at the same thresholds. // [K] */
  tpr: number[];
}

/** Scores of one detector and the charted ensemble (or mode): larger = in-distribution. */
export interface ScoreHistogram {
  detector: string;
  members: string;
  /** Lowest and highest edge; all bins have the same width. */
  range: [number, number];
  /** The score that 95 % of the InD images reach. */
  threshold: number;
  /** Share of the images in each bin. // [bins] */
  in: number[];
  out: Record<string, number[]>;
}

/** On what share of a set's images modes come to the same decision (in or out), each at its own threshold for 95 % of InD. */
export interface DecisionAgreement extends Agreement {
  detector: string;
}

export interface Curves {
  roc: RocCurve[];
  histograms: ScoreHistogram[];
  /** Of predicted classes; empty where they are not known. */
  classes: Agreement[];
  decisions: DecisionAgreement[];
}

export const NO_CURVES: Curves = { roc: [], histograms: [], classes: [], decisions: [] };

/** A curve may leave what it stands for by so much of the axis: a third of a pixel in a chart of 190. */
const ROC_TOLERANCE = 1.5e-3;

/** The ensemble whose scores are charted, else the first mode. */
export function chartedMembers(evaluation: Pick<Results, 'rows'>): string | undefined {
  return largestEnsemble(evaluation) ?? evaluation.rows.find(({ kind }) => kind === 'mode')?.members;
}

/** Everything that is charted of an evaluation's scores: the modes, and the largest ensemble. */
export function curvesOf(evaluation: Evaluation): Curves {
  const charted = chartedMembers(evaluation);
  const curves: Curves = {
    roc: [],
    histograms: [],
    classes: (evaluation.agreement ?? []).map((one) => ({ ...one, share: one.share.map((row) => row.map(rounded)) })),
    decisions: [],
  };
  const detectors = [...new Set(evaluation.scores.map(({ detector }) => detector))];
  for (const detector of detectors) {
    const sets = evaluation.scores.filter((set) => set.detector === detector);
    const modes = sets.filter(({ members }) => members.length === 1);
    const shown = sets.find(({ members }) => members.join(MEMBER_SEPARATOR) === charted);
    for (const out of evaluation.out) {
      for (const set of modes) curves.roc.push(rocOf(set, out, 'mode'));
      if (shown && shown.members.length > 1) curves.roc.push(rocOf(shown, out, 'ensemble'));
    }
    if (shown) curves.histograms.push(histogramOf(shown, evaluation.out));
    if (modes.length > 1) curves.decisions.push(...decisionsOf(modes, evaluation));
  }
  return curves;
}

function rocOf(
  { detector, members, in: inScores, out: outs }: ScoreSet,
  out: string,
  kind: RocCurve['kind'],
): RocCurve {
  const names = { in: 'the in-distribution set', out };
  const { tp, fp, positives, negatives } = buildCurve(inScores, scoresOf(outs, out), names);
  // Above the highest score nothing is accepted.
  const tpr = [0, ...Array.from(tp, (count) => count / positives)];
  const fpr = [0, ...Array.from(fp, (count) => count / negatives)];
  const kept = thin(fpr, tpr, ROC_TOLERANCE);
  const pick = (of: readonly number[]) => kept.map((i) => rounded(of[i] as number));
  return { detector, out, kind, members: members.join(MEMBER_SEPARATOR), fpr: pick(fpr), tpr: pick(tpr) };
}

function histogramOf(
  { detector, members, in: inScores, out: outs }: ScoreSet,
  names: readonly string[],
): ScoreHistogram {
  const range = scoreRange([inScores, ...Object.values(outs)]);
  const found = names.map((name) => [name, histogram(inScores, scoresOf(outs, name), range)] as const);
  return {
    detector,
    members: members.join(MEMBER_SEPARATOR),
    range,
    threshold: inThreshold(inScores),
    in: (found[0]?.[1].in ?? []).map(rounded),
    out: Object.fromEntries(found.map(([name, { out }]) => [name, out.map(rounded)])),
  };
}

function decisionsOf(modes: readonly ScoreSet[], { in: inName, out }: Results): DecisionAgreement[] {
  const names = modes.map(({ members }) => members[0] as string);
  const detector = modes[0]?.detector as string;
  const thresholds = modes.map((set) => inThreshold(set.in));
  const accepted = (scores: Float64Array, mode: number) =>
    Uint8Array.from(scores, (score) => (score >= (thresholds[mode] as number) ? 1 : 0));
  const of = (set: string, scores: readonly Float64Array[]) => ({
    detector,
    set,
    modes: names,
    share: agreementOf(scores.map(accepted)).map((row) => row.map(rounded)),
  });
  const pick = (set: string) => modes.map(({ out: outs }) => scoresOf(outs, set));
  return [
    of(
      inName,
      modes.map((set) => set.in),
    ),
    ...out.map((set) => of(set, pick(set))),
  ];
}

/** Five digits: far finer than a pixel, and a third of the bytes. */
function rounded(value: number): number {
  return Number(value.toFixed(5));
}

function scoresOf(outs: ScoreSet['out'], name: string): Float64Array {
  return outs[name] ?? new Float64Array(0);
}
