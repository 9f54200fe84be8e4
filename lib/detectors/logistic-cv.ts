import { ModeEnsembleError } from '../config/errors.js';
import { decide, fitLogistic, type LabelledRows, type LogisticModel } from './logistic.js';

const FOLDS = 5;

/**
 * Inverse strengths of the penalty that are tried: 10 from 1e-4 to 1e4, evenly on a logarithmic scale, as numpy's logspace
 * rounds them.
 */
export const PENALTIES: readonly number[] = [
  1e-4, 0.000774263682681127, 0.005994842503189409, 0.046415888336127774, 0.3593813663804626, 2.782559402207126,
  21.54434690031882, 166.81005372000558, 1291.5496650148827, 1e4,
];

export interface LogisticCv extends LogisticModel {
  /** The chosen one of PENALTIES. */
  c: number;
  /** Accuracy on each fold's held-out rows, for each of PENALTIES. // [5][10] */
  accuracies: Float64Array[];
  /** False where the last fit ran out of iterations or its line search failed. */
  converged: boolean;
  iterations: number;
}

/**
 * Logistic regression with its penalty chosen by cross-validation, as scikit-learn's LogisticRegressionCV() does it: five
 * stratified folds in the order of the rows, for each fold ten fits from the strongest penalty to the weakest, each from
 * the one before; the first penalty of the best mean accuracy; a last fit on all rows from the mean of the folds' fits.
 *
 * The optimiser takes scikit-learn's steps and stops where it stops (logistic.ts). That matters: on columns such as
 * Mahalanobis scores it stops before the minimum, by 0.4 % in the intercept as measured, and far before it where the labels
 * can be separated. There, scikit-learn's own coefficients move with the last bits of its input: mostly by less than 1e-4,
 * now and then by 1 %, without bound for separable labels; ours are one of the results that it gives. Source: Pedregosa et
 * al., JMLR 12 (2011) 2825–2830, and the documentation of scikit-learn 1.9.
 *
 * @param values row-major // [n, width]
 * @param labels 0 or 1 // [n]
 * @throws ModeEnsembleError E_DATA where a label has fewer than five rows or sizes do not fit; E_NUMERIC on NaN or infinity
 */
export function fitLogisticCv(values: Float64Array, width: number, labels: Uint8Array): LogisticCv {
  check(values, width, labels);
  const folds = stratifiedFolds(labels);
  const all: LabelledRows = { values, width, labels, rows: Uint32Array.from(labels.keys()) };
  const paths = Array.from({ length: FOLDS }, (_, fold) => {
    const rows = all.rows.filter((row) => folds[row] !== fold);
    let x: Float64Array = new Float64Array(width + 1);
    return PENALTIES.map((c) => {
      x = fitLogistic({ ...all, rows }, c, x).x;
      return x;
    });
  });
  const accuracies = paths.map((path, fold) => {
    const rows = all.rows.filter((row) => folds[row] === fold);
    return Float64Array.from(path, (x) => accuracy(modelOf(x), all, rows));
  });
  const sums = PENALTIES.map((_, i) => accuracies.reduce((sum, fold) => sum + (fold[i] as number), 0));
  const best = sums.indexOf(Math.max(...sums));
  const start = Float64Array.from(
    { length: width + 1 },
    (_, j) => paths.reduce((sum, path) => sum + (path[best]?.[j] as number), 0) / FOLDS,
  );
  const c = PENALTIES[best] as number;
  const { x, iterations, end } = fitLogistic(all, c, start);
  return { ...modelOf(x), c, accuracies, iterations, converged: end === 'gradient' || end === 'value' };
}

function modelOf(x: Float64Array): LogisticModel {
  return { coefficients: x.slice(0, -1), intercept: x.at(-1) as number };
}

function accuracy(model: LogisticModel, { values, width, labels }: LabelledRows, rows: Uint32Array): number {
  const right = rows.reduce((sum, row) => sum + (+(decide(model, values, row * width) > 0) === labels[row] ? 1 : 0), 0);
  return right / rows.length;
}

/**
 * The fold in which each row is held out. The label that comes first in the data is dealt to the folds first, one row after
 * the other, the second label goes on where the first ended; each label's rows then fill its places in order.
 */
export function stratifiedFolds(labels: Uint8Array): Uint8Array {
  const folds = new Uint8Array(labels.length);
  const first = labels[0] as number;
  let dealt = 0;
  for (const label of [first, 1 - first]) {
    const rows = [...labels.keys()].filter((row) => labels[row] === label);
    const sizes = new Array<number>(FOLDS).fill(0);
    for (let i = 0; i < rows.length; i++) sizes[(dealt + i) % FOLDS] = (sizes[(dealt + i) % FOLDS] as number) + 1;
    let next = 0;
    for (const [fold, size] of sizes.entries()) {
      for (const row of rows.slice(next, next + size)) folds[row] = fold;
      next += size;
    }
    dealt += rows.length;
  }
  return folds;
}

function check(values: Float64Array, width: number, labels: Uint8Array): void {
  const n = labels.length;
  if (width < 1 || values.length !== n * width) {
    throw new ModeEnsembleError(
      'E_DATA',
      `Logistic regression: expected ${n} × ${width} values for ${n} labels, found ${values.length}.`,
    );
  }
  const counts = [0, 1].map((label) => labels.reduce((sum, found) => sum + (found === label ? 1 : 0), 0));
  const [zeros = 0, ones = 0] = counts;
  if (zeros + ones !== n) throw new ModeEnsembleError('E_DATA', 'Logistic regression: expected labels 0 and 1 alone.');
  if (Math.min(zeros, ones) < FOLDS) {
    throw new ModeEnsembleError(
      'E_DATA',
      `Logistic regression: expected at least ${FOLDS} rows of each label, found ${zeros} of label 0 and ${ones} of label 1.`,
    );
  }
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new ModeEnsembleError(
      'E_NUMERIC',
      `Logistic regression: value ${bad % width} of row ${Math.floor(bad / width)} is ${values[bad]}.`,
    );
  }
}
