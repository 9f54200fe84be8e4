import { joinMembers } from '../ensemble/index.js';
import { type ConventionName, measure } from '../metrics/index.js';
import type { JobHooks } from '../native/job.js';
import { turn } from './turn.js';
import type { ResultRow } from './types.js';

/** What is measured: the scores of each detector and subset on each data set. */
export interface Scored {
  /** Name of the in-distribution set. */
  in: string;
  /** Names of the OoD sets. */
  out: readonly string[];
  arch: string;
  detectors: readonly string[];
  /** The modes and ensembles. */
  subsets: readonly { kind: 'mode' | 'ensemble'; members: readonly string[] }[];
  /** Scores, larger = in-distribution; set 0 is the in-distribution set, then the OoD sets in order. // [N] */
  scoresOf(detector: string, subset: number, set: number): Float64Array;
}

export interface Measured {
  /** Name of the metrics' convention. */
  convention: ConventionName;
  rows: ResultRow[];
  warnings: string[];
}

/**
 * Rows by OoD set, then detector, then subset: as results.csv is read.
 *
 * @throws ModeEnsembleError E_NUMERIC naming the set and the image of a score that is not finite; E_ABORTED
 */
export async function measureAll(scored: Scored, hooks: Pick<JobHooks, 'signal' | 'onLog'> = {}): Promise<Measured> {
  const convention: ConventionName = 'reference';
  const rows: ResultRow[] = [];
  const warnings: string[] = [];
  for (const [outIndex, out] of scored.out.entries()) {
    for (const detector of scored.detectors) {
      for (const [index, { kind, members }] of scored.subsets.entries()) {
        await turn(hooks.signal);
        const of = `(${detector}, ${kind} ${joinMembers(members)})`;
        const inScores = scored.scoresOf(detector, index, 0);
        const outScores = scored.scoresOf(detector, index, outIndex + 1);
        const names = { in: `${scored.in} ${of}`, out: `${out} ${of}` };
        const { warnings: found, ...measures } = measure(inScores, outScores, { convention, names });
        for (const message of found) {
          warnings.push(message);
          hooks.onLog?.({ type: 'log', level: 'warning', message });
        }
        rows.push({
          in: scored.in,
          out,
          arch: scored.arch,
          detector,
          kind,
          members: joinMembers(members),
          n_in: inScores.length,
          n_out: outScores.length,
          ...measures,
        });
      }
    }
  }
  return { convention, rows, warnings };
}
