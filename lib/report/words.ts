import { titleOf } from '../detectors/index.js';
import { MEMBER_SEPARATOR } from '../ensemble/index.js';
import { summarize } from '../metrics/index.js';
import type { Evaluation } from '../run/types.js';
import { largestEnsemble, type ResultSummary, summarizeRows } from './summary.js';
import { meanAndStd, percent } from './tables.js';

/** FPR95 of one detector, averaged over OoD sets. Fractions. */
interface Averages {
  title: string;
  /** Of the ensemble; of the modes' mean where there is none. */
  fpr95: number;
  gain: number | undefined;
}

/** One paragraph: the best detector, what the ensemble gains over its average mode, how far modes lie apart, accuracy. */
export function describeResults(evaluation: Evaluation): string {
  const ensemble = largestEnsemble(evaluation);
  const summaries = summarizeRows(evaluation.rows);
  const names = [...new Set(summaries.map(({ detector }) => detector))];
  const averages = names.map((name) => average(name, summaries, ensemble)).sort((a, b) => a.fpr95 - b.fpr95);
  return [
    opening(evaluation, ensemble),
    best(averages, ensemble),
    gains(averages),
    spread(summaries),
    accuracies(evaluation, ensemble),
  ]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

function average(detector: string, summaries: readonly ResultSummary[], ensemble: string | undefined): Averages {
  const own = summaries.filter((summary) => summary.detector === detector);
  const found = own.flatMap(({ ensembles }) => ensembles.filter(({ members }) => members === ensemble));
  const values = found.length > 0 ? found.map(({ fpr95 }) => fpr95) : own.map(({ modes }) => modes.fpr95.mean);
  return {
    title: titleOf(detector),
    fpr95: summarize(values).mean,
    gain: found.length > 0 ? summarize(found.map(({ gain_fpr95 }) => gain_fpr95)).mean : undefined,
  };
}

function opening({ rows, arch, in: inName, out }: Evaluation, ensemble: string | undefined): string {
  const modes = new Set(rows.filter(({ kind }) => kind === 'mode').map(({ members }) => members)).size;
  const size = ensemble?.split(MEMBER_SEPARATOR).length;
  const together = size === undefined ? '' : size === modes ? ' and their ensemble' : ` and ensembles of up to ${size}`;
  const sets = `${out.length} OoD ${out.length === 1 ? 'set' : 'sets'} (${out.join(', ')})`;
  return `${modes} ${modes === 1 ? 'mode' : 'modes'} of ${arch}${together}, measured on ${inName} against ${sets}.`;
}

function best(averages: readonly Averages[], ensemble: string | undefined): string {
  const [first, ...others] = averages;
  if (!first) return '';
  const who = ensemble === undefined ? 'Over the modes' : 'For the ensemble';
  if (others.length === 0)
    return `${who}, ${first.title} has an FPR95 of ${percent(first.fpr95)} % on average over the OoD sets.`;
  const rest = others.map(({ title, fpr95 }) => `${title} ${percent(fpr95)} %`).join(', ');
  return `${who}, ${first.title} has the lowest FPR95 on average over the OoD sets: ${percent(first.fpr95)} % (${rest}).`;
}

function gains(averages: readonly Averages[]): string {
  const parts = averages.flatMap(({ title, gain }) => {
    if (gain === undefined) return [];
    return [`${percent(Math.abs(gain))} points ${gain >= 0 ? 'lower' : 'higher'} with ${title}`];
  });
  return parts.length === 0 ? '' : `Against the mean of its own modes, the ensemble's FPR95 is ${listing(parts)}.`;
}

function spread(summaries: readonly ResultSummary[]): string {
  const [first] = summaries;
  if (!first || first.modes.fpr95.n < 2) return '';
  const range = ({ modes }: ResultSummary) => modes.fpr95.max - modes.fpr95.min;
  const widest = summaries.reduce((a, b) => (range(b) > range(a) ? b : a));
  const mean = summarize(summaries.map(range)).mean;
  const where = `${titleOf(widest.detector)} on ${widest.out}`;
  return `The best and the worst mode lie ${percent(mean)} points of FPR95 apart on average, at most ${percent(range(widest))} (${where}).`;
}

function accuracies({ accuracy }: Evaluation, ensemble: string | undefined): string {
  const modes = accuracy.filter(({ kind }) => kind === 'mode').map(({ top1 }) => top1);
  if (modes.length === 0) return '';
  const whole = accuracy.find(({ kind, members }) => kind === 'ensemble' && members === ensemble);
  const text = `Test accuracy is ${meanAndStd(modes)} % ${modes.length === 1 ? 'for the mode' : 'over the modes'}`;
  return whole ? `${text} and ${percent(whole.top1)} % for the ensemble.` : `${text}.`;
}

/** `a, b and c`. */
function listing(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}
