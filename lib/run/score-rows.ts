/**
 * Scores from logits, a block of rows at a time: each block of each mode's file is read once and serves every subset and every
 * detector that reads it, so that memory does not grow with the set.
 */
import { ModeEnsembleError } from '../config/errors.js';
import type { Parameters, RowDetector } from '../detectors/index.js';
import type { FuseLogits } from '../ensemble/index.js';
import type { FeatureFile } from '../features/index.js';

/** Numbers of all members that are held at a time (64 MiB as float32). */
const BLOCK_NUMBERS = 1 << 24;
const MOST_ROWS = 4096;

/** A detector, and where its scores go: for each subset an array [N], which is filled in. */
export interface RowTask {
  detector: Pick<RowDetector, 'needs' | 'temperature' | 'scoreRows'>;
  parameters: Parameters;
  scores: readonly Float64Array[];
}

export interface RowSource {
  /** What errors call the set. */
  name: string;
  /** Files of one pass, one a member: what `logits` are read from. */
  logits: readonly FeatureFile[];
  /** Files of the plain pass, for penultimate features. */
  plain: readonly FeatureFile[];
  /** For each subset the places of its members among the files. */
  subsets: readonly (readonly number[])[];
  fuse: FuseLogits;
}

/**
 * @param onRows after each block: rows of the block; may throw to stop
 * @throws ModeEnsembleError E_NUMERIC naming file and image where a logit or feature is not finite, E_DATA, E_IO
 */
export async function scoreRows(
  source: RowSource,
  tasks: readonly RowTask[],
  onRows: (rows: number) => Promise<void>,
): Promise<void> {
  const { logits, plain, subsets } = source;
  const count = logits[0]?.count ?? 0;
  const wantsNorms = tasks.some(({ detector, parameters }) => detector.needs(parameters).penultimate);
  const width = logits.reduce((sum, file, i) => sum + file.classes + (wantsNorms ? featureWidth(plain[i]) : 0), 0);
  const most = Math.max(1, Math.min(MOST_ROWS, Math.floor(BLOCK_NUMBERS / width)));
  for (let first = 0; first < count; first += most) {
    const rows = Math.min(most, count - first);
    const blocks = await Promise.all(logits.map((file) => file.rows('logits', first, rows)));
    for (const [i, block] of blocks.entries()) requireFinite(block, 'logits', logits[i] as FeatureFile, first);
    const norms = wantsNorms ? await Promise.all(plain.map((file) => featureNorms(file, first, rows))) : [];
    for (const [index, places] of subsets.entries()) {
      const classes = commonClasses(places, logits);
      const members = places.map((place) => blocks[place] as Float32Array);
      const featureNorms = wantsNorms ? places.map((place) => norms[place] as Float64Array) : [];
      const fused = new Map<number, Float64Array>();
      for (const { detector, parameters, scores } of tasks) {
        const temperature = detector.temperature(parameters);
        const mean = fused.get(temperature) ?? source.fuse(members, classes, temperature);
        fused.set(temperature, mean);
        const found = detector.scoreRows({ first, rows, classes, logits: mean, featureNorms }, parameters);
        (scores[index] as Float64Array).set(found, first);
      }
    }
    await onRows(rows);
  }
}

function featureWidth(file: FeatureFile | undefined): number {
  return file?.shape(file.penultimate)?.[1] ?? 0;
}

/** ‖f‖₁ of each row's penultimate feature. */
async function featureNorms(file: FeatureFile, first: number, rows: number): Promise<Float64Array> {
  const width = featureWidth(file);
  if (width === 0) {
    throw new ModeEnsembleError('E_CONFIG', `${file.path}: expected a penultimate feature, found logits alone.`);
  }
  const features = await file.rows(file.penultimate, first, rows);
  requireFinite(features, file.penultimate, file, first);
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) sum += Math.abs(features[i] as number);
    return sum;
  });
}

/** @throws ModeEnsembleError E_NUMERIC that names the image by its place in the set */
function requireFinite(values: Float32Array, tensor: string, file: FeatureFile, first: number): void {
  // One sum finds out whether anything is wrong: NaN and infinities stay in it. (Finite float32 cannot overflow float64.)
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  if (Number.isFinite(sum)) return;
  const at = values.findIndex((value) => !Number.isFinite(value));
  const width = file.shape(tensor)?.[1] ?? 1;
  throw new ModeEnsembleError(
    'E_NUMERIC',
    `${file.path}: tensor "${tensor}", image ${first + Math.floor(at / width)}: expected finite numbers, found ${values[at]}.`,
  );
}

function commonClasses(places: readonly number[], files: readonly FeatureFile[]): number {
  const [first, ...others] = places.map((place) => files[place] as FeatureFile);
  const other = others.find((file) => file.classes !== first?.classes);
  if (!first || other) {
    throw new ModeEnsembleError(
      'E_DATA',
      `Modes with ${first?.classes} and ${other?.classes} classes have no common logits (${first?.path}, ${other?.path}).`,
    );
  }
  return first.classes;
}
