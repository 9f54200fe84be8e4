/** results.json, read back. */
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { ModeEnsembleError } from '../config/errors.js';
import { detectorOf } from '../detectors/index.js';
import { FUSIONS, type FusionName } from '../ensemble/index.js';
import { CONVENTION_NAMES, type ConventionName, MEASURE_NAMES, type MeasureName, recordOf } from '../metrics/index.js';
import { checkedJson, parseJson, readText, requireVersion } from './read-json.js';
import { BOUND_COLUMNS, RESULTS_FORMAT, RESULTS_VERSION } from './results.js';
import type { GainIntervals, Results } from './types.js';

const measures = Object.fromEntries(MEASURE_NAMES.map((name) => [name, z.number()])) as Record<
  MeasureName,
  z.ZodNumber
>;
const optional = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, z.number().optional()]));
const detector = z.string().refine(isDetector, 'the name of a detector');
const kind = z.enum(['mode', 'ensemble']);
const count = z.number().int().positive();
const gain = z.object({ gain: z.number(), lo: z.number().optional(), hi: z.number().optional() });
const gains = z.object(
  Object.fromEntries(MEASURE_NAMES.map((name) => [name, gain])) as Record<MeasureName, typeof gain>,
);

const row = z.object({
  in: z.string(),
  out: z.string(),
  arch: z.string(),
  detector,
  kind,
  members: z.string(),
  n_in: count,
  n_out: count,
  ...measures,
  ...optional(BOUND_COLUMNS),
});

const accuracyRow = z.object({
  kind,
  members: z.string(),
  n: count,
  top1: z.number(),
  top5: z.number().optional(),
  ...optional(['top1_lo', 'top1_hi', 'top5_lo', 'top5_hi']),
});

const resultsSchema = z.object({
  convention: z.enum([...CONVENTION_NAMES] as [ConventionName, ...ConventionName[]]),
  fusion: z.enum([...FUSIONS] as [FusionName, ...FusionName[]]),
  intervals: z.object({ resamples: count, level: z.number(), seed: z.number() }).optional(),
  in: z.string(),
  out: z.array(z.string()).min(1),
  arch: z.string(),
  detectors: z.array(
    z.object({
      name: z.string(),
      label: z.string().optional(),
      parameters: z.record(z.string(), z.union([z.number(), z.string()])),
    }),
  ),
  accuracy: z.array(accuracyRow),
  summary: z.array(
    z.object({
      out: z.string(),
      detector,
      ensembles: z.array(z.object({ members: z.string(), over_mean: gains, over_best: gains })),
    }),
  ),
  rows: z.array(row).min(1),
  warnings: z.array(z.string()),
});

function isDetector(label: string): boolean {
  try {
    detectorOf(label);
    return true;
  } catch {
    return false;
  }
}

export interface StoredResults {
  results: Results;
  /** The file's text, of which curves.json knows the hash. */
  text: string;
  path: string;
}

/**
 * Reads a run folder's results.json.
 *
 * @throws ModeEnsembleError E_IO where folder or file is missing or cannot be read; E_DATA where it is damaged or of another version
 */
export async function readResults(folder: string): Promise<StoredResults> {
  const path = join(folder, 'results.json');
  const text = await readText(path, 'expected the folder of a finished run');
  const value = parseJson(text, path);
  requireOne(value, path);
  requireVersion(value, path, RESULTS_FORMAT, RESULTS_VERSION);
  const { summary, ...found } = checkedJson(resultsSchema, value, path);
  requireWhole(found as Results, path);
  const intervals = gainsOf(summary);
  return { results: { ...found, ...(intervals.length > 0 ? { gains: intervals } : {}) } as Results, text, path };
}

/** @throws ModeEnsembleError E_DATA where it is of several architectures */
function requireOne(value: unknown, path: string): void {
  const archs = archsOf(value);
  if (archs.length === 0) return;
  const places = archs.map((id) => join(dirname(path), 'archs', id)).join(', ');
  throw new ModeEnsembleError(
    'E_DATA',
    `${path} holds ${archs.length} architectures: expected one of them, as in ${places}.`,
  );
}

/** Of a results.json of several architectures their ids; none for that of one. */
export function archsOf(value: unknown): string[] {
  const archs = (value as { archs?: unknown } | null)?.archs;
  return typeof archs === 'object' && archs !== null ? Object.keys(archs) : [];
}

/** Each detector has a row for each set and for each mode and ensemble. */
function requireWhole({ rows, out, in: inName }: Results, path: string): void {
  const wrong = rows.find((one) => !out.includes(one.out) || one.in !== inName);
  const of = (pick: (index: (typeof rows)[number]) => string) => new Set(rows.map(pick)).size;
  const expected = of((one) => one.detector) * of((one) => one.members) * out.length;
  const found = of((one) => JSON.stringify([one.detector, one.members, one.out]));
  if (wrong === undefined && found === expected && rows.length === expected) return;
  const what =
    wrong === undefined ? `${rows.length} rows, ${found} of them different` : `one of ${wrong.in} and ${wrong.out}`;
  throw new ModeEnsembleError(
    'E_DATA',
    `${path} is damaged: rows: expected ${expected}, one for each detector, OoD set, mode and ensemble, found ${what}.`,
  );
}

/** The intervals of what ensembles gain, which the file keeps with the gains themselves. */
function gainsOf(summary: z.output<typeof resultsSchema>['summary']): GainIntervals[] {
  return summary.flatMap(({ out, detector, ensembles }) =>
    ensembles.flatMap(({ members, over_mean, over_best }) => {
      const hasEnds = MEASURE_NAMES.every(
        (name) => over_mean[name].lo !== undefined && over_best[name].lo !== undefined,
      );
      if (!hasEnds) return [];
      const ends = (of: typeof over_mean) =>
        recordOf((name): [number, number] => [of[name].lo ?? Number.NaN, of[name].hi ?? Number.NaN]);
      return [{ out, detector, members, mean: ends(over_mean), best: ends(over_best) }];
    }),
  );
}
