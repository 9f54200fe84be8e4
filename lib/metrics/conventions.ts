import { auroc, averagePrecision, precisionTrapezoid } from './areas.js';
import { buildCurve, type Counts } from './curve.js';
import { detectionError, fprAboveQuantile, fprAtFirstRecall, fprAtNearestRecall } from './rates.js';

export const CONVENTION_NAMES = ['reference', 'knn', 'openood'] as const;
export type ConventionName = (typeof CONVENTION_NAMES)[number];

/** How FPR and AUPR are read off the curve. AUROC and the detection error are the same in all of them. */
export interface Convention {
  name: ConventionName;
  /** Which side is the positive class. */
  positive: 'in' | 'out';
  /** One line to print beside every number. */
  summary: string;
  fpr95(counts: Counts): number;
  aupr(counts: Counts, positive: 'in' | 'out'): number;
}

export const CONVENTIONS: Readonly<Record<ConventionName, Convention>> = {
  /** The paper's `get_measures` (Fang et al., IJCV 2024). */
  reference: {
    name: 'reference',
    positive: 'in',
    summary:
      'convention "reference": in-distribution is the positive class; FPR at the recall nearest 95 %; ' +
      'AUPR is average precision, for in-distribution and (on negated scores) for out-of-distribution',
    fpr95: (counts) => fprAtNearestRecall(counts, 0.95),
    aupr: averagePrecision,
  },
  /**
   * The paper's kNN script (utils_knn/metrics.py), which is that of Sun et al., ICML 2022. Its precision-recall curves are
   * given two end points: ½ at recall 1, where it has no width, and 0 at recall 0, which does count.
   */
  knn: {
    name: 'knn',
    positive: 'in',
    summary:
      'convention "knn": in-distribution is the positive class; FPR strictly above the in-distribution score at place ' +
      'round(0.05 n); AUPR is a trapezoid that begins at precision 0, for in-distribution and for out-of-distribution',
    fpr95: (counts) => fprAboveQuantile(counts, 0.05),
    aupr: (counts, positive) => precisionTrapezoid(counts, positive, 0),
  },
  /**
   * OpenOOD v1.5 (`auc_and_fpr_recall`): roc_curve, precision_recall_curve and auc of scikit-learn. AUPR-in takes
   * in-distribution as positive and the scores as they are, AUPR-out out-of-distribution and negated scores; both curves
   * begin at precision 1.
   */
  openood: {
    name: 'openood',
    positive: 'out',
    summary:
      'convention "openood": out-of-distribution is the positive class; FPR (share of in-distribution images) at the first ' +
      'threshold at which TPR reaches 95 %; AUPR is the trapezoid over the precision-recall curve, for either side',
    fpr95: (counts) => fprAtFirstRecall(counts, 0.95),
    aupr: (counts, positive) => precisionTrapezoid(counts, positive, 1),
  },
};

/** The line that belongs beside every number of an evaluation. */
export function describeConvention(name: string): string {
  return Object.hasOwn(CONVENTIONS, name) ? CONVENTIONS[name as ConventionName].summary : `convention "${name}"`;
}

export const MEASURE_NAMES = ['auroc', 'aupr_in', 'aupr_out', 'fpr95', 'detection_error'] as const;
export type MeasureName = (typeof MEASURE_NAMES)[number];

/** Which values of a measure are good. */
export const BETTER: Readonly<Record<MeasureName, 'lower' | 'higher'>> = {
  auroc: 'higher',
  aupr_in: 'higher',
  aupr_out: 'higher',
  fpr95: 'lower',
  detection_error: 'lower',
};

/** All are fractions, 0 to 1. */
export interface Measures extends Record<MeasureName, number> {
  /** Sentences about what makes the numbers meaningless; empty most of the time. */
  warnings: string[];
}

export interface MeasureOptions {
  /** Default: `reference`. */
  convention?: ConventionName | undefined;
  /** What errors and warnings call the two sets. */
  names?: { in: string; out: string } | undefined;
}

/** What errors call the sets where nothing else is said. */
export const SET_NAMES = { in: 'the in-distribution set', out: 'the OoD set' } as const;

/** Every measure of one curve, in float64, O(n). */
export function measureCounts(counts: Counts, name: ConventionName): Record<MeasureName, number> {
  const convention = CONVENTIONS[name];
  return {
    auroc: auroc(counts),
    aupr_in: convention.aupr(counts, 'in'),
    aupr_out: convention.aupr(counts, 'out'),
    fpr95: convention.fpr95(counts),
    detection_error: detectionError(counts),
  };
}

/**
 * AUROC, both AUPR, FPR95 and the detection error of one OoD set against the in-distribution set, in float64,
 * O(n log n).
 *
 * @param inScores larger = in-distribution // [n_in]
 * @param outScores // [n_out]
 * @throws ModeEnsembleError E_NUMERIC on an empty side and on a NaN or infinite score
 */
export function measure(inScores: Float64Array, outScores: Float64Array, options: MeasureOptions = {}): Measures {
  const names = options.names ?? SET_NAMES;
  const curve = buildCurve(inScores, outScores, names);
  const warnings: string[] = [];
  if (curve.thresholds.length === 1) {
    warnings.push(
      `All scores of ${names.in} and ${names.out} are equal (${curve.thresholds[0]}); AUROC 0.5 says nothing here.`,
    );
  }
  return { ...measureCounts(curve, options.convention ?? 'reference'), warnings };
}
