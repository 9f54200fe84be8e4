import { type LbfgsResult, minimize } from './lbfgs.js';

/** Rows of features with their labels; or the part of them that `rows` lists. */
export interface LabelledRows {
  /** Row-major. // [n, width] */
  values: Float64Array;
  width: number;
  /** 0 or 1. // [n] */
  labels: Uint8Array;
  /** Indices of the rows that count. */
  rows: Uint32Array;
}

/** P(label 1) = 1 / (1 + exp(−(x·coefficients + intercept))). */
export interface LogisticModel {
  coefficients: Float64Array;
  intercept: number;
}

/** As scikit-learn calls L-BFGS-B for LogisticRegression (1.9; tol=1e-4, max_iter=100) with SciPy's memory of 10. */
const OPTIONS = {
  memory: 10,
  gradientTolerance: 1e-4,
  valueTolerance: 64 * Number.EPSILON,
  iterations: 100,
  searchSteps: 50,
};

/**
 * L2-regularised logistic regression: the minimum over w and b of mean log(1 + exp(−±(x·w + b))) + ‖w‖² / (2·c·n), as far
 * as L-BFGS-B gets with scikit-learn's settings. On badly scaled columns that is not the minimum itself, see
 * logistic-cv.ts.
 *
 * @param start coefficients, then the intercept // [width + 1]
 */
export function fitLogistic(data: LabelledRows, c: number, start: Float64Array): LbfgsResult {
  const { values, width, labels, rows } = data;
  const n = rows.length;
  const penalty = 1 / (c * n);
  return minimize(
    (x, gradient) => {
      const bias = x[width] as number;
      let loss = 0;
      gradient.fill(0);
      for (const row of rows) {
        const offset = row * width;
        let z = bias;
        for (let j = 0; j < width; j++) z += (values[offset + j] as number) * (x[j] as number);
        const label = labels[row] as number;
        const small = Math.exp(-Math.abs(z));
        // log(1 + exp(∓z)), written so that nothing overflows and no digits cancel.
        loss += Math.max(label === 1 ? -z : z, 0) + Math.log1p(small);
        const probability = (z >= 0 ? 1 : small) / (1 + small);
        const residual = (label === 1 ? -(z >= 0 ? small : 1) / (1 + small) : probability) / n;
        for (let j = 0; j < width; j++)
          gradient[j] = (gradient[j] as number) + residual * (values[offset + j] as number);
        gradient[width] = (gradient[width] as number) + residual;
      }
      let squares = 0;
      for (let j = 0; j < width; j++) {
        squares += (x[j] as number) ** 2;
        gradient[j] = (gradient[j] as number) + penalty * (x[j] as number);
      }
      return loss / n + 0.5 * penalty * squares;
    },
    start,
    OPTIONS,
  );
}

/** x·coefficients + intercept of the row at `offset`; above 0 where label 1 is the likelier one. */
export function decide(model: LogisticModel, values: Float64Array, offset: number): number {
  let z = model.intercept;
  for (const [j, coefficient] of model.coefficients.entries()) z += (values[offset + j] as number) * coefficient;
  return z;
}

/**
 * P(label 1) of each row.
 *
 * @param values row-major, as wide as the model has coefficients // [n, width]
 * @returns // [n]
 */
export function predictLogistic(model: LogisticModel, values: Float64Array): Float64Array {
  const width = model.coefficients.length;
  return Float64Array.from({ length: values.length / width }, (_, i) => {
    const z = decide(model, values, i * width);
    const small = Math.exp(-Math.abs(z));
    return (z >= 0 ? 1 : small) / (1 + small);
  });
}
