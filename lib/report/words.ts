import { titleOf } from '../detectors/index.js';
import { MEMBER_SEPARATOR } from '../ensemble/index.js';
import { summarize } from '../metrics/index.js';
import type { Agreement, Results } from '../run/types.js';
import { meanAndStd, percent } from './numbers.js';
import { pairsOf } from './pairs.js';
import { largestEnsemble, type ResultSummary, summarizeRows } from './summary.js';

/** FPR95 of one detector, averaged over OoD sets. Fractions. */
interface Averages {
  title: string;
  /** Of the ensemble; of the modes' mean where there is none. */
  fpr95: number;
  gain: number | undefined;
}

/**
 * One paragraph: the best detector, which one gains most from the ensemble, how far modes lie apart, accuracy.
 *
 * @param classes how often modes name the same class, where that is known
 */
export function describeResults(
  evaluation: Results,
  classes: readonly Agreement[] = evaluation.agreement ?? [],
): string {
  const ensemble = largestEnsemble(evaluation);
  const summaries = summarizeRows(evaluation);
  const names = [...new Set(summaries.map(({ detector }) => detector))];
  const averages = names.map((name) => average(name, summaries, ensemble)).sort((a, b) => a.fpr95 - b.fpr95);
  return [
    opening(evaluation, ensemble),
    best(averages, ensemble),
    gains(averages),
    spread(summaries),
    agreements(evaluation, classes),
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

function opening(
  { rows, arch, in: inName, out }: Pick<Results, 'rows' | 'arch' | 'in' | 'out'>,
  ensemble: string | undefined,
): string {
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
  const sorted = averages
    .flatMap(({ title, gain }) => (gain === undefined ? [] : [{ title, gain }]))
    .sort((a, b) => b.gain - a.gain);
  const text = ({ gain }: { gain: number }) => `${percent(Math.abs(gain))} points ${gain >= 0 ? 'lower' : 'higher'}`;
  const [most, ...others] = sorted;
  if (!most) return '';
  if (others.length === 0) {
    return `Against the mean of its own modes, the ensemble's FPR95 is ${text(most)} with ${most.title}.`;
  }
  const rest = listing(others.map((one) => `${text(one)} with ${one.title}`));
  return `${most.title} gains most from the ensemble: against the mean of its own modes its FPR95 is ${text(most)}; it is ${rest}.`;
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

function agreements({ in: inName, out }: Pick<Results, 'in' | 'out'>, classes: readonly Agreement[]): string {
  const meanOver = (sets: readonly string[]) => {
    const pairs = classes.filter(({ set }) => sets.includes(set)).map((one) => summarize(pairsOf(one)).mean);
    return pairs.length === 0 ? undefined : summarize(pairs).mean;
  };
  const [inside, outside] = [meanOver([inName]), meanOver(out)];
  if (inside === undefined || outside === undefined) return '';
  return `Two modes name the same class for ${percent(inside)} % of ${inName} and for ${percent(outside)} % of OoD images, on average.`;
}

function accuracies({ accuracy }: Pick<Results, 'accuracy'>, ensemble: string | undefined): string {
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
