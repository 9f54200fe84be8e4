/** Accuracy of modes and ensembles from stored logits, in blocks of rows. */

import { FUSE_LOGITS, type FuseLogits, joinMembers } from '../ensemble/index.js';
import { type FeatureFile, PLAIN } from '../features/index.js';
import {
  accuracyOf,
  type IntervalSettings,
  labelPlaces,
  type ResampledAccuracy,
  Resampler,
  resampleAccuracy,
} from '../metrics/index.js';
import { boundsOf } from './measure.js';
import { scoreRows } from './score-rows.js';
import type { Subset } from './subsets.js';
import { turn } from './turn.js';
import type { AccuracyRow } from './types.js';

/** The accuracy of a mode or an ensemble. */
export interface FoundAccuracy {
  row: AccuracyRow;
  /** Where intervals are asked for. */
  values: ResampledAccuracy | undefined;
}

/** What accuracy is made of. */
export interface AccuracySource {
  /** Name of the set. */
  name: string;
  /** Of the plain pass, one a mode. */
  files: readonly FeatureFile[];
  subsets: readonly Subset[];
  /** How many classes the labels are of: they say nothing about networks that tell other classes apart. Default: as many
   * as the first mode tells apart. */
  classes?: number | undefined;
  /** Default: the mean of the logits. */
  fuse?: FuseLogits | undefined;
  intervals?: IntervalSettings | undefined;
}

/**
 * Accuracy of each mode and ensemble, by the mean of the logits (or another fusion of them). Networks with another number of
 * classes than the labels have no accuracy and are left out.
 *
 * @returns in the order of the subsets
 * @throws ModeEnsembleError E_DATA where a label is no class; E_NUMERIC on logits that are not finite; E_ABORTED
 */
export async function findAccuracies(source: AccuracySource, signal?: AbortSignal): Promise<FoundAccuracy[]> {
  const { name, files, intervals } = source;
  const classes = source.classes ?? files[0]?.classes ?? 0;
  const subsets = source.subsets.filter((subset) => subset.places.every((place) => files[place]?.classes === classes));
  const labels = (await files[0]?.labels()) ?? new Int32Array(0);
  const scores = subsets.map(() => new Float64Array(labels.length));
  const places = subsets.map((subset) => subset.places);
  const fuse = source.fuse ?? (FUSE_LOGITS.paper as FuseLogits);
  await scoreRows(
    { name, logits: files, plain: files, subsets: places, fuse },
    [placesTask(labels, name, scores)],
    () => turn(signal),
  );
  const resampler = intervals && new Resampler(intervals.seed, intervals.resamples);
  return subsets.map(({ kind, members }, index) => {
    const found = Uint8Array.from(scores[index] as Float64Array);
    const row: AccuracyRow = { kind, members: joinMembers(members), ...accuracyOf(found, classes) };
    const values = resampler && resampleAccuracy(found, classes, name, resampler);
    if (values && intervals) Object.assign(row, boundsOf(['top1', 'top5'], values, intervals.level));
    return { row, values };
  });
}

/** The place of each image's label among the classes, as a detector would score it. */
function placesTask(labels: Int32Array, name: string, scores: Float64Array[]) {
  const needs = { passes: [PLAIN], penultimate: false, stages: false, fit: 'none' } as const;
  return {
    detector: {
      needs: () => needs,
      temperature: () => 1,
      scoreRows: ({
        first,
        rows,
        classes,
        logits,
      }: {
        first: number;
        rows: number;
        classes: number;
        logits: Float64Array;
      }) => Float64Array.from(labelPlaces(logits, labels.subarray(first, first + rows), classes, name, first)),
    },
    parameters: {},
    scores,
  };
}
