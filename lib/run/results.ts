import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { writeFileAtomic } from '../config/files.js';
import { makeWritableFolder } from '../config/folders.js';
import { joinMembers } from '../ensemble/index.js';
import { describeConvention, MEASURE_NAMES } from '../metrics/index.js';
import type { SkippedImage } from '../native/contract.js';
import { summarizeRows } from '../report/summary.js';
import type { Evaluation, ResultRow, Results } from './types.js';

/** Images passed over because they cannot be decoded, by data set: how many, and the first hundred. */
export interface SkippedImages {
  skipped: Record<string, number>;
  skippedImages: Record<string, SkippedImage[]>;
}

export { formatTables } from '../report/tables.js';

/** What results.json says it is; the version is raised whenever a reader of another one would misread the file. */
export const RESULTS_FORMAT = 'mode-ensemble results';
export const RESULTS_VERSION = 1;

/** Columns of results.csv, in order. */
export const COLUMNS: readonly (keyof ResultRow)[] = [
  'in',
  'out',
  'arch',
  'detector',
  'kind',
  'members',
  'n_in',
  'n_out',
  ...MEASURE_NAMES,
];

/** Further columns where intervals were asked for: `auroc_lo`, `auroc_hi`, `aupr_in_lo`, …, in the order of the metrics. */
export const BOUND_COLUMNS = MEASURE_NAMES.flatMap((name) => [`${name}_lo`, `${name}_hi`] as const);

/** results.csv as text: fractions with every digit that tells a float64 from its neighbours. */
export function resultsCsv(rows: readonly ResultRow[]): string {
  const hasBounds = rows.some((row) => BOUND_COLUMNS.some((column) => row[column] !== undefined));
  const columns = hasBounds ? [...COLUMNS, ...BOUND_COLUMNS] : COLUMNS;
  return stringify(
    rows.map((row) => columns.map((column) => String(row[column] ?? ''))),
    { header: true, columns: [...columns] },
  );
}

/** results.json as text: rows, accuracy, the summary over modes and ensembles, and how the numbers are meant. */
export function resultsJson(evaluation: Results, images?: SkippedImages): string {
  const { convention, fusion, in: inName, out, arch, detectors, accuracy, rows, intervals, warnings } = evaluation;
  const meaning = describeConvention(convention);
  const summary = summarizeRows(evaluation);
  const about = { convention, conventionMeaning: meaning, fusion, intervals, in: inName, out, arch };
  const { skipped, skippedImages } = images ?? { skipped: {}, skippedImages: {} };
  const format = { format: RESULTS_FORMAT, version: RESULTS_VERSION };
  const all = { ...format, ...about, detectors, accuracy, summary, rows, warnings, skipped, skippedImages };
  return `${JSON.stringify(all, null, 2)}\n`;
}

/**
 * Writes results.csv and results.json into a folder, each whole or not at all.
 *
 * @returns the paths of both, and what is in results.json
 * @throws ModeEnsembleError E_IO naming the path
 */
export async function writeResults(
  folder: string,
  evaluation: Evaluation,
  images?: SkippedImages,
): Promise<{ csv: string; json: string; text: string }> {
  await makeWritableFolder(folder);
  const csv = join(folder, 'results.csv');
  const json = join(folder, 'results.json');
  await writeFileAtomic(csv, resultsCsv(evaluation.rows));
  const text = resultsJson(evaluation, images);
  await writeFileAtomic(json, text);
  return { csv, json, text };
}

/**
 * Writes every score as `<folder>/<detector>/<members>/<data set>.npy`, float32, in data-set order. A detector's parameters
 * follow its name after commas, `knn,k=10`, since a colon cannot stand in names on every system.
 *
 * @returns the paths
 * @throws ModeEnsembleError E_IO naming the path
 */
export async function writeScores(folder: string, evaluation: Evaluation): Promise<string[]> {
  const paths: string[] = [];
  for (const { detector, members, in: inScores, out } of evaluation.scores) {
    const own = join(folder, fileName(detector.replaceAll(':', ',')), fileName(joinMembers(members)));
    await makeWritableFolder(own);
    for (const [name, scores] of [[evaluation.in, inScores] as const, ...Object.entries(out)]) {
      const path = join(own, `${fileName(name)}.npy`);
      await writeFileAtomic(path, npyFloat32(scores));
      paths.push(path);
    }
  }
  return paths;
}

const LONGEST_NAME = 180;

/**
 * A name from outside as one part of a path: everything but ASCII letters, digits and `_+=@,.-`, and a leading dot too,
 * becomes %XX, so that no name can leave the folder and different names stay different. Very long names end in a hash.
 */
export function fileName(name: string): string {
  const safe = [...Buffer.from(name, 'utf8')]
    .map((byte, index) => {
      const character = String.fromCharCode(byte);
      const plain = /[A-Za-z0-9_+=@,.-]/.test(character) && !(character === '.' && index === 0);
      return plain ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
  if (safe === '') return '%';
  if (safe.length <= LONGEST_NAME) return safe;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return `${safe.slice(0, LONGEST_NAME - 17)}~${hash}`;
}

/** A vector in NumPy's format 1.0 (numpy.lib.format), little-endian float32. */
export function npyFloat32(values: Float64Array): Uint8Array {
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': (${values.length},), }`;
  // Magic, version and length take 10 bytes; header and data begin at multiples of 64, and the header ends in a newline.
  const length = Math.ceil((10 + dictionary.length + 1) / 64) * 64;
  const bytes = new Uint8Array(length + 4 * values.length);
  bytes.set(Buffer.from('\x93NUMPY\x01\x00', 'latin1'));
  const view = new DataView(bytes.buffer);
  view.setUint16(8, length - 10, true);
  bytes.set(Buffer.from(`${dictionary.padEnd(length - 11)}\n`, 'latin1'), 10);
  for (const [i, value] of values.entries()) view.setFloat32(length + 4 * i, value, true);
  return bytes;
}
