import { auroc, averagePrecision, buildCurve, type Curve, fprAtNearestRecall } from './curve.js';

export type ConventionName = 'reference';

/** How FPR and AUPR are read off the curve. AUROC is the same in all of them. */
export interface Convention {
  name: ConventionName;
  /** Which side is the positive class. */
  positive: 'in' | 'out';
  /** One line to print beside every number. */
  summary: string;
  fpr95(curve: Curve): number;
  aupr(curve: Curve, positive: 'in' | 'out'): number;
}

export const CONVENTIONS: Readonly<Record<ConventionName, Convention>> = {
  reference: {
    name: 'reference',
    positive: 'in',
    summary:
      'convention "reference": in-distribution is the positive class; FPR at the recall nearest 95 %; ' +
      'AUPR is average precision, for in-distribution and (on negated scores) for out-of-distribution',
    fpr95: (curve) => fprAtNearestRecall(curve, 0.95),
    aupr: averagePrecision,
  },
};

/** The line that belongs beside every number of an evaluation. */
export function describeConvention(name: string): string {
  return Object.hasOwn(CONVENTIONS, name) ? CONVENTIONS[name as ConventionName].summary : `convention "${name}"`;
}

/** All are fractions, 0 to 1. */
export interface Measures {
  auroc: number;
  aupr_in: number;
  aupr_out: number;
  fpr95: number;
  /** Sentences about what makes the numbers meaningless; empty most of the time. */
  warnings: string[];
}

export interface MeasureOptions {
  convention?: ConventionName | undefined;
  /** What errors and warnings call the two sets. */
  names?: { in: string; out: string } | undefined;
}

/**
 * AUROC, both AUPR and FPR95 of one OoD set against the in-distribution set, in float64, O(n log n).
 *
 * @param inScores larger = in-distribution // [n_in]
 * @param outScores // [n_out]
 * @throws ModeEnsembleError E_NUMERIC on an empty side and on a NaN or infinite score
 */
export function measure(inScores: Float64Array, outScores: Float64Array, options: MeasureOptions = {}): Measures {
  const convention = CONVENTIONS[options.convention ?? 'reference'];
  const names = options.names ?? { in: 'the in-distribution set', out: 'the OoD set' };
  const curve = buildCurve(inScores, outScores, names);
  const warnings: string[] = [];
  if (curve.thresholds.length === 1) {
    warnings.push(
      `All scores of ${names.in} and ${names.out} are equal (${curve.thresholds[0]}); AUROC 0.5 says nothing here.`,
    );
  }
  return {
    auroc: auroc(curve),
    aupr_in: convention.aupr(curve, 'in'),
    aupr_out: convention.aupr(curve, 'out'),
    fpr95: convention.fpr95(curve),
    warnings,
  };
}
