/** A finished run, read back from its folder: neither its data nor the addon is needed. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import { ModeEnsembleError } from '../config/errors.js';
import { MEMBER_SEPARATOR } from '../ensemble/index.js';
import type { Curves, EpochPoint, FigureGroup, ModeEpochs } from '../report/index.js';
import { CURVES_FORMAT, CURVES_VERSION, sha256 } from './curves-file.js';
import { runOf } from './folder.js';
import { readFigures } from './read-figures.js';
import { checkedJson, parseJson, readText, requireVersion } from './read-json.js';
import { readResults, type StoredResults } from './read-results.js';
import type { Results } from './types.js';

const mapping = z.record(z.string(), z.unknown());

/** What of experiment.json the report shows. */
const recordSchema = z.object({
  experiment: mapping.and(z.object({ name: z.string() })),
  versions: mapping,
  machine: mapping,
  data: z.object({ in: mapping, out: z.array(mapping) }),
  modes: z.array(z.object({ seed: z.number(), checkpoint: z.string(), sha256: z.string() })),
});

export type StoredRecord = z.output<typeof recordSchema>;

const share = z.number().min(0).max(1);
const shares = z.array(share);
const agreement = z.object({ set: z.string(), modes: z.array(z.string()), share: z.array(shares) });

const curvesSchema = z.object({
  results: z.string(),
  roc: z.array(
    z.object({
      detector: z.string(),
      out: z.string(),
      kind: z.enum(['mode', 'ensemble']),
      members: z.string(),
      fpr: shares,
      tpr: shares,
    }),
  ),
  histograms: z.array(
    z.object({
      detector: z.string(),
      members: z.string(),
      range: z.tuple([z.number(), z.number()]),
      threshold: z.number(),
      in: shares.min(1),
      out: z.record(z.string(), shares),
    }),
  ),
  classes: z.array(agreement),
  decisions: z.array(agreement.extend({ detector: z.string() })),
});

export interface StoredRun {
  results: Results;
  curves: Curves;
  record: StoredRecord;
  epochs: ModeEpochs[];
  figures: FigureGroup[];
  /** SHA-256 of results.json. */
  sha256: string;
}

/**
 * Everything that a run folder holds for its report.
 *
 * @throws ModeEnsembleError E_IO where the folder or one of its files is missing or cannot be read; E_DATA where one is damaged, of
 * another version or of another run
 */
export async function readRun(folder: string): Promise<StoredRun> {
  await requireFolder(folder);
  const stored = await readResults(folder);
  const curves = await readCurves(folder, stored);
  const record = await readRecord(folder, stored.results);
  const figures = await readFigures(folder);
  const epochs = await readEpochs(folder, record);
  const results = { ...stored.results, agreement: curves.classes };
  return { results, curves, record, epochs, figures, sha256: sha256(stored.text) };
}

/** @throws ModeEnsembleError E_IO */
export async function requireFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory()) return;
  const what = found ? 'a file' : 'nothing';
  throw new ModeEnsembleError('E_IO', `${folder}: expected the folder of a finished run, found ${what}.`);
}

async function readCurves(folder: string, { text, results }: StoredResults): Promise<Curves> {
  const path = join(folder, 'curves.json');
  const value = parseJson(await readText(path, 'the run was stopped before its end; run the experiment again'), path);
  requireVersion(value, path, CURVES_FORMAT, CURVES_VERSION);
  const { results: hash, ...curves } = checkedJson(curvesSchema, value, path);
  if (hash !== sha256(text)) {
    throw new ModeEnsembleError(
      'E_DATA',
      `${path} belongs to another results.json than the one beside it; run the experiment again, which uses what is finished.`,
    );
  }
  requireFitting(curves, results, path);
  return curves;
}

/** Lengths that charts rely on. */
function requireFitting({ roc, histograms, classes, decisions }: Curves, results: Results, path: string): void {
  const damaged = (where: string, expected: string, found: string) =>
    new ModeEnsembleError('E_DATA', `${path} is damaged: ${where}: expected ${expected}, found ${found}.`);
  for (const [i, { fpr, tpr }] of roc.entries()) {
    if (fpr.length !== tpr.length) throw damaged(`roc[${i}].tpr`, `${fpr.length} numbers`, `${tpr.length}`);
  }
  for (const [i, { in: inShares, out }] of histograms.entries()) {
    for (const set of results.out) {
      const length = Object.hasOwn(out, set) ? out[set]?.length : undefined;
      if (length !== inShares.length) {
        throw damaged(`histograms[${i}].out`, `${inShares.length} bins of ${set}`, `${length ?? 'none'}`);
      }
    }
  }
  for (const [name, list] of [['classes', classes] as const, ['decisions', decisions] as const]) {
    for (const [i, { modes, share }] of list.entries()) {
      const isSquare = share.length === modes.length && share.every((row) => row.length === modes.length);
      if (!isSquare || modes.length < 2)
        throw damaged(`${name}[${i}].share`, `${modes.length} × ${modes.length} numbers`, 'others');
    }
  }
}

async function readRecord(folder: string, { rows }: Results): Promise<StoredRecord> {
  const path = join(folder, 'experiment.json');
  const value = parseJson(await readText(path, 'the run was stopped before its end; run the experiment again'), path);
  const record = checkedJson(recordSchema, value, path);
  const seeds = new Set(record.modes.map(({ seed }) => String(seed)));
  const missing = rows.flatMap(({ members }) => members.split(MEMBER_SEPARATOR)).find((member) => !seeds.has(member));
  if (missing !== undefined) {
    throw new ModeEnsembleError(
      'E_DATA',
      `${path} belongs to another run than results.json: it has no mode ${missing}; run the experiment again, which uses what is finished.`,
    );
  }
  return record;
}

async function readEpochs(folder: string, { modes }: StoredRecord): Promise<ModeEpochs[]> {
  const epochs: ModeEpochs[] = [];
  for (const { seed, checkpoint } of modes) {
    const log = resolve(folder, dirname(checkpoint), 'log.jsonl');
    // A folder that was made by somebody else may name any file.
    const isInside = !relative(runOf(folder), log).startsWith('..');
    epochs.push({ mode: String(seed), epochs: isInside ? await readLog(log) : [] });
  }
  return epochs;
}

/** The epochs of a training; none where the log is gone, since the report is whole without it. */
async function readLog(file: string): Promise<EpochPoint[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .flatMap((line) => {
      try {
        // Lines of versions before the reports of steps have no type.
        const { type = 'epoch', ...point } = JSON.parse(line) as EpochPoint & { type?: string };
        const numbers = [point.epoch, point.loss, point.accuracy];
        return type === 'epoch' && numbers.every(Number.isFinite) ? [point] : [];
      } catch {
        return [];
      }
    });
}
